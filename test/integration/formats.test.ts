// Archives of both formats: saved, verified and loaded, side by side, under
// other names, and as the base of an increment in the other one.
import { cp, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { GREETING, buildImage, busyboxLayer, dataLayer } from '../fixtures/sample-images.ts'
import { archiveOf, recordOf, setUp } from '../fixtures/workbench.ts'

const bench = await setUp(t)
const { engine } = bench
const build = async (name: string, ...seeds: string[]) =>
  buildImage(engine, bench.registry, {
    name: `sample/${name}`,
    layers: [await busyboxLayer(), ...seeds.map(dataLayer), [GREETING]],
  })
const [image, next] = [await build('tool:1', 'a'), await build('tool:2', 'a', 'b')]
const { reference, configDigest } = image
const XZ = archiveOf(image)
const ZST = XZ.replace(/xz$/, 'zst')
const root = t.testdir({ xz: {}, zst: {}, metadata: {} })
const xz = join(root, 'xz')
const zst = join(root, 'zst')
const metadata = join(root, 'record')
const save = (dir: string, ...args: string[]) => bench.ask('save_compressed_tars', dir, ...args)
const verify = (dir: string, ...args: string[]) => bench.ask('verify_checksums', dir, ...args)
const load = (dir: string, ...args: string[]) => bench.ask('load_compressed_tars', dir, ...args)
const imageId = (name: string) => engine.docker('image', 'inspect', '--format', '{{.Id}}', name)

t.test('zst: is saved, saved and verified, and zstd reads it by itself', async (t) => {
  t.match(await save(xz, reference), [{ result: 'saved', archive: XZ }])
  t.match(await save(zst, '--format', 'zst', reference), [{ result: 'saved', archive: ZST }])
  const { archive } = await recordOf(zst, ZST)
  t.match(archive, { codec: 'zstd', level: 8, windowLog: 27, compressor: { name: 'zstd' } })
  t.match(await verify(zst), [{ result: 'verified', notes: ['checked against the engine'] }])
  t.match(await verify(zst, '--against', 'record'), [{ result: 'verified' }])
  const [one, other] = await Promise.all([
    bench.sh(zst, `zstd -dc ${ZST} | sha256sum`),
    bench.sh(xz, `xz -dc ${XZ} | sha256sum`),
  ])
  t.equal(one, other, 'the same tar as in the other format')
  t.equal(await bench.sh(zst, 'sha256sum --strict -c SHA256SUMS | grep -c OK'), '2')
})

t.test('zst: up to date for the same settings only', async (t) => {
  const again = (...args: string[]) => save(zst, '--format', 'zst', ...args, reference)
  t.match(await again(), [{ result: 'up to date' }])
  t.match(await again('--dry-run', '--level', '3'), [{ result: 'would be saved' }])
  t.match(await again('--dry-run', '--long', '28'), [{ result: 'would be saved' }])
})

t.test('zst: the same archive again, for any threads, whether layers are reused', async (t) => {
  for (const compressor of ['zstd', 'builtin']) {
    const sums = new Set<string>()
    for (const args of [[], ['--threads', '1'], ['--threads', '3'], ['--reuse', root]]) {
      const dir = t.testdir()
      const own = ['--format', 'zst', '--compressor', compressor]
      await save(dir, ...own, ...args, reference)
      sums.add((await recordOf(dir, ZST)).archive.sha256)
    }
    t.equal(sums.size, 1, compressor)
  }
})

t.test('zst: loads by these tools, and by hand', async (t) => {
  await bench.removeImages()
  t.match(await load(zst), [{ result: 'loaded', archive: ZST }])
  t.equal(await imageId(reference), configDigest)
  await bench.removeImages()
  await bench.sh(zst, `zstd -dc ${ZST} | docker load`)
  t.equal(await imageId(reference), configDigest)
})

for (const compressor of ['pixz', 'xz', 'zstd', 'builtin']) {
  t.test(`both formats: read with ${compressor}`, async (t) => {
    for (const dir of [xz, zst]) {
      await bench.removeImages()
      const own = ['--compressor', compressor]
      t.match(await verify(dir, '--against', 'record', ...own), [{ result: 'verified' }])
      t.match(await load(dir, ...own), [{ result: 'loaded' }])
      t.equal(await imageId(reference), configDigest)
    }
  })
}

t.test('both formats: a byte that changed is found', async (t) => {
  for (const [from, name] of [[xz, XZ], [zst, ZST]] as const) {
    const dir = t.testdir()
    await cp(from, dir, { recursive: true })
    const { sizeBytes } = (await recordOf(dir, name)).archive
    await bench.sh(dir, `printf x | dd of=${name} bs=1 seek=${sizeBytes >> 1} conv=notrunc`)
    await bench.removeImages()
    for (const own of [[], ['--compressor', 'builtin']]) {
      const code = /^(MISMATCH|BAD_ARCHIVE|BAD_IMAGE|BAD_TAR)$/
      t.match(await verify(dir, ...own), [{ result: 'failed', error: { code } }])
      t.match(await load(dir, ...own), [{ result: 'failed', error: { code } }])
    }
    t.equal(await bench.listImages(), '')
  }
}) // prettier-ignore

t.test('both formats: the first bytes tell, whatever the name', async (t) => {
  const dir = t.testdir()
  await cp(join(xz, XZ), join(dir, 'first.img'))
  await cp(join(zst, ZST), join(dir, ZST))
  await rename(join(dir, ZST), join(dir, XZ))
  for (const name of ['first.img', XZ]) {
    await bench.removeImages()
    t.match(await verify(dir, name), [{ result: 'verified', image: name }])
    t.match(await load(dir, name), [{ result: 'loaded' }])
    t.equal(await imageId(reference), configDigest)
  }
})

t.test('both formats: one image has one archive', async (t) => {
  const dir = t.testdir()
  await cp(xz, dir, { recursive: true })
  await load(dir)
  const [saved] = await save(dir, '--no-pull', '--format', 'zst', reference)
  t.match(saved, { result: 'saved', notes: [`it takes the place of ${XZ}`] })
  const names = await readdir(dir)
  t.strictSame(names.toSorted(), ['SHA256SUMS', ZST, `${ZST}.json`].toSorted())
  t.equal(await bench.sh(dir, 'sha256sum --strict -c SHA256SUMS | grep -c OK'), '2')
  await cp(xz, dir, { recursive: true })
  const one = await bench.run('load_compressed_tars', dir, '--dry-run', reference)
  t.match(one, { status: 0, stderr: `"${ZST}" is not used: SHA256SUMS does not list it` })
  await bench.sh(dir, 'sha256sum *.zst *.zst.json >>SHA256SUMS')
  const clash = await bench.run('load_compressed_tars', dir, reference)
  t.match(clash, { status: 1, stderr: `there are "${XZ}" and "${ZST}"` })
})

t.test('both formats: an increment in one, its base in the other', async (t) => {
  for (const name of [`${XZ}.json`, `${ZST}.json`]) await rm(join(metadata, name), { force: true })
  for (const [base, name, format] of [
    [xz, XZ, 'zst'],
    [zst, ZST, 'xz'],
  ] as const) {
    const dir = t.testdir()
    await cp(join(base, `${name}.json`), join(metadata, `${name}.json`))
    const args = ['--since', metadata, '--format', format, next.reference]
    const [saved] = await save(dir, ...args)
    t.match(saved, { result: 'saved', archive: new RegExp(`\\.increment\\.tar\\.${format}$`) })
    await bench.removeImages()
    t.match(await load(dir), [{ result: 'failed', error: { code: 'MISSING_LAYER' } }])
    for (const compressor of [[], ['--compressor', 'builtin']]) {
      await bench.removeImages()
      t.match(await verify(dir, '--base', base, ...compressor), [{ result: 'verified' }])
      t.match(await load(dir, '--base', base, ...compressor), [{ result: 'loaded' }])
      t.equal(await imageId(next.reference), next.configDigest)
    }
    await rm(join(metadata, `${name}.json`))
  }
})

t.test('compress_tars: zst, and with what is built in', async (t) => {
  await load(xz)
  for (const compressor of ['zstd', 'builtin']) {
    const dir = t.testdir()
    await engine.docker('save', '--output', join(dir, 'image.tar'), reference)
    const args = ['--format', 'zst', '--compressor', compressor]
    const [made] = await bench.ask('compress_tars', dir, ...args)
    t.match(made, { result: 'compressed', archive: 'image.tar.zst' })
    await bench.sh(dir, 'zstd -dc image.tar.zst | cmp - image.tar')
    t.match(await bench.ask('compress_tars', dir, ...args), [{ result: 'up to date' }])
    const [other] = await bench.ask('compress_tars', dir)
    t.match(other, { result: 'compressed', notes: ['it takes the place of image.tar.zst'] })
    const names = ['SHA256SUMS', 'image.tar', 'image.tar.xz', 'image.tar.xz.json']
    t.strictSame((await readdir(dir)).toSorted(), names)
  }
})
