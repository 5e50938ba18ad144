// compress_tars: tars that are there already, images or not.
import { readdir, truncate, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { dockerArchive } from '../fixtures/archive-builder.ts'
import { buildImage } from '../fixtures/sample-images.ts'
import { dataLayer, GREETING, pseudoRandom } from '../fixtures/sample-layers.ts'
import { tar } from '../fixtures/tar-builder.ts'
import { recordOf, setUp, snapshot } from '../fixtures/workbench.ts'

const bench = await setUp(t)
const sample = await buildImage(bench.engine, bench.registry, {
  name: 'sample/data:1.0',
  layers: [[GREETING], dataLayer('data')],
})
const saved = join(t.testdir(), 'saved.tar')
await bench.engine.docker('save', '--output', saved, sample.reference)

const compress = (dir: string, ...args: string[]) => bench.ask('compress_tars', dir, ...args)

t.test('tars: every one of the directory, kept and coming out byte for byte', async (t) => {
  const dir = t.testdir({ 'notes.txt': 'no tar' })
  await bench.sh(dir, `cp ${saved} image.tar && tar c --format=gnu notes.txt > blocked.tar`)
  await writeFile(join(dir, 'plain.tar'), tar([GREETING]))
  await writeFile(
    join(dir, 'trailing.tar'),
    Buffer.concat([tar([GREETING]), pseudoRandom('x', 999)]),
  )
  const before = await snapshot(dir)
  const answers = await compress(dir)
  t.strictSame(
    answers.map(({ image, result }) => `${image}: ${result}`),
    ['blocked', 'image', 'plain', 'trailing'].map((name) => `${name}.tar: compressed`),
  )
  for (const { image } of answers) await bench.sh(dir, `xz -dc ${image}.xz | cmp - ${image}`)
  t.match(await snapshot(dir), before, 'the tars are as they were')
  t.equal(await bench.sh(dir, 'sha256sum --strict -c SHA256SUMS | grep -c OK'), '8')
})

t.test('again: one whose metadata was changed is made again', async (t) => {
  const dir = t.testdir()
  await writeFile(join(dir, 'a.tar'), tar([GREETING]))
  await compress(dir)
  const { archive, ...rest } = await recordOf(dir, 'a.tar.xz')
  const changed = { archive: { ...archive, sha256: '0'.repeat(64) }, ...rest }
  await writeFile(join(dir, 'a.tar.xz.json'), JSON.stringify(changed))
  t.match(await compress(dir, '--dry-run'), [{ result: 'would be compressed' }])
  t.match(await compress(dir), [{ result: 'compressed' }])
  t.match((await recordOf(dir, 'a.tar.xz')).archive, { sha256: archive.sha256 })
  await bench.sh(dir, 'sha256sum --check --strict SHA256SUMS')
})

for (const format of ['xz', 'zst']) {
  t.test(`again: an archive without metadata that can be read stays, ${format}`, async (t) => {
    const dir = t.testdir()
    await writeFile(join(dir, 'good.tar'), tar([GREETING]))
    await writeFile(join(dir, `good.tar.${format}`), 'a user’s own')
    const before = await snapshot(dir)
    const lost = [
      ['NAME_CLASH', {}],
      ['BAD_RECORD', { [`good.tar.${format}.json`]: '{' }],
    ] as const
    for (const [code, files] of lost) {
      for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text)
      for (const more of [['--format', 'xz'], ['--format', 'zst'], ['--dry-run']]) {
        const answers = await compress(dir, ...more)
        t.match(answers, [{ result: 'failed', error: { code, hint: /--force/ } }])
      }
      t.match(await snapshot(dir), before)
    }
    const forced = await compress(dir, '--format', 'zst', '--force')
    t.match(forced, [{ result: 'compressed' }])
    t.strictSame(
      (await readdir(dir)).toSorted(),
      ['SHA256SUMS', 'good.tar', 'good.tar.zst', 'good.tar.zst.json'].toSorted(),
    )
  })
}

t.test('metadata: has the facts of a saved image', async (t) => {
  const dir = t.testdir()
  await compress(dir, saved)
  const metadata = await recordOf(dir, 'saved.tar.xz')
  t.match(metadata.images, [
    { repoTags: [sample.reference], config: { digest: sample.configDigest } },
  ])
  t.strictSame(
    metadata.images[0]?.layers.map((layer) => layer.diffId),
    sample.diffIds,
  )
  t.equal(`${metadata.tar.contentMd5}  -`, await bench.sh(dir, `tar xOf ${saved} | md5sum`))
})

t.test('metadata: of a tar that is no image has none, and load refuses it', async (t) => {
  const dir = t.testdir()
  await writeFile(join(dir, 'notes.tar'), tar([GREETING]))
  const [compressed] = await compress(dir)
  t.match(compressed?.notes, ['not a saved image: it cannot be loaded'])
  t.strictSame((await recordOf(dir, 'notes.tar.xz')).images, [])
  t.match(await bench.ask('verify_checksums', dir), [{ result: 'verified' }])
  const [loaded] = await bench.ask('load_compressed_tars', dir)
  t.match(loaded, {
    result: 'failed',
    error: { code: 'BAD_IMAGE', message: 'load "notes.tar.xz": its tar is not a saved image' },
  })
})

t.test('again: unchanged is skipped, changed is done', async (t) => {
  const dir = t.testdir()
  const file = join(dir, 'notes.tar')
  await writeFile(file, tar([GREETING]))
  await compress(dir)
  const before = await snapshot(dir)
  t.match(await compress(dir), [{ result: 'up to date' }])
  t.strictSame(await snapshot(dir), before, 'nothing was written')
  t.match(await compress(dir, '--force'), [{ result: 'compressed' }])
  t.match(await compress(dir, '--level', '2'), [{ result: 'compressed' }])

  await writeFile(file, tar([{ path: GREETING.path, content: 'CARRIED OVER THE AIR GAP\n' }]))
  t.match(await compress(dir), [{ result: 'compressed' }])
  await bench.sh(dir, 'xz -dc notes.tar.xz | cmp - notes.tar')
  const day = new Date('2024-05-01')
  await utimes(file, day, day)
  t.match(await compress(dir), [{ result: 'compressed' }], 'another time')
})

const { archive: good } = dockerArchive({
  layers: [tar([GREETING]), tar(dataLayer('good'))],
  tags: ['sample/good:1.0'],
  layout: 'legacy',
})
const flip = (at: number) => {
  const bytes = Buffer.from(good)
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at)
  return bytes
}
const BAD: [string, string, Buffer][] = [
  ['empty', 'TRUNCATED_TAR', Buffer.alloc(0)],
  ['no tar', 'BAD_TAR', pseudoRandom('no tar', 5000)],
  ['text', 'TRUNCATED_TAR', Buffer.from('no tar')],
  ['cut in a member', 'TRUNCATED_TAR', good.subarray(0, 100_000)],
  ['cut in a header', 'TRUNCATED_TAR', good.subarray(0, 700)],
  ['cut before its end', 'TRUNCATED_TAR', good.subarray(0, good.length - 1024)],
  ['with a damaged header', 'BAD_TAR', flip(3)],
  ['with a damaged layer', 'BAD_IMAGE', flip(good.indexOf('good 77 '))],
]
for (const [name, code, bytes] of BAD) {
  t.test(`bad tar: ${name} is an error and no archive`, async (t) => {
    const dir = t.testdir()
    await writeFile(join(dir, 'bad.tar'), bytes)
    const before = await snapshot(dir)
    t.match(await compress(dir), [{ image: 'bad.tar', result: 'failed', error: { code } }])
    t.strictSame(await snapshot(dir), before)
  })
}

t.test('bad tar: the old archive stays and the others are done', async (t) => {
  const dir = t.testdir()
  const file = join(dir, 'a.tar')
  await writeFile(file, good)
  await compress(dir)
  await truncate(file, 100_000)
  await writeFile(join(dir, 'b.tar'), tar([GREETING]))
  const old = await snapshot(dir)
  const { status, stderr } = await bench.run('compress_tars', dir)
  t.equal(status, 1)
  t.match(stderr, 'compress_tars: failed: a.tar: ')
  t.match(await snapshot(dir), { 'a.tar.xz': old['a.tar.xz'], 'b.tar.xz': /./ })
})
