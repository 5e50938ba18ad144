// A layer that an archive at hand holds is copied from there, not compressed
// again; and nobody can tell from the archive, which has the same bytes.
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { dockerArchive } from '../fixtures/archive-builder.ts'
import { sha256 } from '../fixtures/digest.ts'
import { READ_ONLY, runMounted, wrapCommand } from '../fixtures/faults.ts'
import { pathOf } from '../fixtures/oci-tar.ts'
import { run } from '../fixtures/run.ts'
import {
  GREETING,
  buildImage,
  busyboxLayer,
  dataLayer,
  type SampleImage,
} from '../fixtures/sample-images.ts'
import { tar, type TarEntry } from '../fixtures/tar-builder.ts'
import {
  archiveOf,
  damageLayer,
  readAnswers,
  recordOf,
  setUp,
  snapshot,
} from '../fixtures/workbench.ts'

const bench = await setUp(t)
const { engine } = bench
const save = (dir: string, ...args: string[]) =>
  bench.ask('save_compressed_tars', dir, '--no-pull', '--level', '1', ...args)
const build = async (name: string, ...seeds: string[]) =>
  buildImage(engine, bench.registry, {
    name: `sample/${name}`,
    layers: [await busyboxLayer(), ...seeds.map(dataLayer), [GREETING]],
  })
const base = await build('base:1.0', 'shared')
const app = await build('app:1.0', 'shared', 'app')
const train = await build('train:1.0', 'shared', 'train')
// The next month's.
const next = await build('train:2.0', 'shared', 'train', 'next')
// The layers above are the same, on another base.
const other = await build('other:1.0', 'other', 'shared')

const alone = t.testdir()
await save(alone, '--force', ...[base, app, train, next, other].map((image) => image.reference))

/** The bytes of the layers that have those indexes. */
async function layerBytes(image: SampleImage, ...indexes: number[]): Promise<number> {
  const [saved] = (await recordOf(alone, archiveOf(image))).images
  return indexes.reduce((sum, index) => sum + (saved?.layers[index]?.sizeBytes ?? 0), 0)
}

/** The digest of an image's archive. */
async function digestOf(dir: string, image: SampleImage): Promise<string> {
  return sha256(await readFile(join(dir, archiveOf(image))))
}

t.test('reuse: within a run, whatever the base is', async (t) => {
  const dir = t.testdir()
  const images = [base, app, train, other]
  const answers = await save(dir, ...images.map((image) => image.reference))
  t.match(answers, [
    { result: 'saved', reusedBytes: undefined },
    { result: 'saved', reusedBytes: await layerBytes(app, 0, 1) },
    { result: 'saved', reusedBytes: await layerBytes(train, 0, 1) },
    { result: 'saved', reusedBytes: await layerBytes(other, 0, 2) },
  ])
  for (const image of images) {
    t.equal(await digestOf(dir, image), await digestOf(alone, image), image.reference)
  }
})

t.test('reuse: from an earlier run, in the delivery', async (t) => {
  const dir = t.testdir()
  await save(dir, train.reference)
  t.match(await save(dir, next.reference), [{ reusedBytes: await layerBytes(next, 0, 1, 2) }])
  t.equal(await digestOf(dir, next), await digestOf(alone, next))
  t.match(await bench.run('verify_checksums', dir, '--against', 'engine'), { status: 0 })
})

t.test('reuse: from a read-only directory', async (t) => {
  const root = t.testdir({ carry: {}, earlier: {} })
  const [dir, earlier] = [join(root, 'carry'), join(root, 'earlier')]
  await save(earlier, train.reference)
  const before = await snapshot(earlier)
  const args = ['--no-pull', '--level', '1', '--reuse', '.', '--dir', dir, next.reference, '--json']
  const options = { cwd: earlier, env: engine.env, mount: READ_ONLY }
  const answers = readAnswers(await runMounted('save_compressed_tars', args, options))
  t.match(answers, [{ result: 'saved', reusedBytes: await layerBytes(next, 0, 1, 2) }])
  t.equal(await digestOf(dir, next), await digestOf(alone, next))
  t.strictSame(await snapshot(earlier), before, 'the directory is as it was')
})

t.test('reuse: the compressors are not started for what is copied', async (t) => {
  const dir = t.testdir()
  await save(dir, train.reference)
  const log = join(dir, 'log')
  const path = await wrapCommand(
    join(dir, 'bin'),
    'pixz',
    `[ "$1" = -d ] || echo >>${log}; exec "$real" "$@"`,
  )
  const count = async (...args: string[]): Promise<number> => {
    await writeFile(log, '')
    const all = ['--no-pull', '--level', '1', ...args, next.reference]
    const env = { ...engine.env, ...path }
    t.match(await run('save_compressed_tars', all, { cwd: dir, env }), { status: 0 })
    return (await readFile(log, 'utf8')).length
  }
  const copied = await count()
  const anew = await count('--force')
  t.equal(anew - copied, 3, `got ${anew} and ${copied} starts`)
})

t.test('reuse: not from another level, nor with --force', async (t) => {
  const dir = t.testdir()
  await save(dir, train.reference)
  t.match(
    await bench.ask('save_compressed_tars', dir, '--no-pull', '--level', '0', next.reference),
    [{ result: 'saved', reusedBytes: undefined }],
  )
  t.match(await save(dir, next.reference, '--force'), [{ result: 'saved', reusedBytes: undefined }])
})

t.test('reuse: a directory that is not there is an error', async (t) => {
  const dir = t.testdir()
  const args = ['--reuse', 'nowhere', next.reference]
  const result = await bench.run('save_compressed_tars', dir, ...args)
  t.match(result, { status: 1, stderr: /error: directory not found: "nowhere"/ })
})

t.test('reuse: metadata in another directory that are of no use are told once', async (t) => {
  const root = t.testdir({ carry: {}, earlier: { 'bad.tar.xz.json': '{' } })
  const [dir, earlier] = [join(root, 'carry'), join(root, 'earlier')]
  await save(earlier, train.reference)
  await bench.sh(earlier, `echo >>${archiveOf(train)}`)
  await bench.sh(dir, `docker save ${next.reference} >one.tar && cp one.tar two.tar`)
  const reuse = ['--reuse', '../earlier', '--reuse', '../earlier', '--level', '1', '--json']
  for (const [program, ...args] of [
    ['save_compressed_tars', '--no-pull', '--since', '../earlier', next.reference, app.reference],
    ['compress_tars'],
  ] as const) {
    for (const option of [['--dry-run'], []]) {
      const result = await bench.run(program, dir, ...args, ...reuse, ...option)
      t.equal(result.status, 0, [program, ...option].join(' '))
      t.equal(readAnswers(result).length, 2)
      const warnings = result.stderr.match(/(?<=warning: ).*/g) ?? []
      t.equal(warnings.length, 2)
      t.match(warnings.toSorted(), [
        /train-1\.0\.tar\.xz": size: got/,
        /^in "\.\.\/earlier": .*bad\.tar/,
      ])
    }
  }
  const forced = await bench.run('compress_tars', dir, ...reuse, '--force')
  t.match(forced, { status: 0 })
  t.notMatch(forced.stderr, 'warning')
})

t.test('reuse: a segment that no longer matches is compressed anew, with a warning', async (t) => {
  const dir = t.testdir()
  await save(dir, train.reference)
  await damageLayer(dir, archiveOf(train), train.diffIds[1] ?? '')
  const args = ['--no-pull', '--level', '1', '--json', next.reference]
  const result = await bench.run('save_compressed_tars', dir, ...args)
  t.match(readAnswers(result), [{ result: 'saved' }])
  t.match(result.stderr, /warning: .*sha256: got .*, want /)
  t.equal(await digestOf(dir, next), await digestOf(alone, next))
})

for (const threads of ['1', '2', '5']) {
  t.test(`same bytes: with --threads ${threads}, made anew and reused`, async (t) => {
    const dir = t.testdir({ anew: {}, reused: {} })
    const [anew, reused] = [join(dir, 'anew'), join(dir, 'reused')]
    await save(anew, next.reference, '--threads', threads)
    await copyFile(join(alone, archiveOf(train)), join(reused, archiveOf(train)))
    await copyFile(
      join(alone, `${archiveOf(train)}.json`),
      join(reused, `${archiveOf(train)}.json`),
    )
    const [answer] = await save(reused, next.reference, '--threads', threads)
    t.equal(answer?.reusedBytes, await layerBytes(next, 0, 1, 2))
    t.equal(await digestOf(anew, next), await digestOf(alone, next), 'made anew')
    t.equal(await digestOf(reused, next), await digestOf(alone, next), 'reused')
  })
}

t.test('compress: reuses as well, and its tar comes out as it was', async (t) => {
  const dir = t.testdir()
  await save(dir, train.reference)
  await bench.sh(dir, `docker save ${next.reference} >saved.tar`)
  const compress = (...args: string[]) =>
    bench.ask('compress_tars', dir, '--level', '1', ...args, 'saved.tar')
  t.match(await compress(), [
    { result: 'compressed', reusedBytes: await layerBytes(next, 0, 1, 2) },
  ])
  await bench.sh(dir, 'xz -dc saved.tar.xz | cmp - saved.tar')
  const reused = await readFile(join(dir, 'saved.tar.xz'))
  t.match(await compress('--force'), [{ result: 'compressed', reusedBytes: undefined }])
  t.ok(reused.equals(await readFile(join(dir, 'saved.tar.xz'))), 'the same bytes without reuse')
})

t.test('compress: reuses from --reuse', async (t) => {
  const dir = t.testdir()
  await bench.sh(dir, `docker save ${next.reference} >saved.tar`)
  const answers = await bench.ask('compress_tars', dir, '--level', '1', '--reuse', alone)
  t.match(answers, [{ result: 'compressed', reusedBytes: await layerBytes(next, 0, 1, 2, 3) }])
  await bench.sh(dir, 'xz -dc saved.tar.xz | cmp - saved.tar')
})

const IN_TIME = { ms: 60_000, signal: 'SIGKILL' } as const
const flipped = (bytes: Buffer): Buffer => {
  const copy = Buffer.from(bytes)
  copy[bytes.length >> 1] = (copy[bytes.length >> 1] ?? 0) ^ 1
  return copy
}

t.test('compress: members named as known layers that are others end, with a warning', async (t) => {
  const root = t.testdir({ carry: {}, tars: {} })
  const carry = join(root, 'carry')
  const layers = Array.from({ length: 6 }, (_, n) => tar(dataLayer(`known ${n}`)))
  const { archive } = dockerArchive({ layers, tags: ['known/layers:1.0'], layout: 'oci' })
  await writeFile(join(carry, 'good.tar'), archive)
  t.match(await bench.ask('compress_tars', carry, '--level', '0'), [{ result: 'compressed' }])
  const members = layers.map((layer) => ({ path: pathOf(layer), content: flipped(layer) }))
  const TARS = { 'one.tar': members.slice(0, 1), 'all.tar': members } // prettier-ignore
  for (const [name, entries] of Object.entries(TARS)) {
    const bad = join(root, 'tars', name)
    await writeFile(bad, tar(entries))
    const args = ['--level', '0', '--json', '--dir', carry, bad]
    const result = await run('compress_tars', args, { cwd: root, signalAfter: IN_TIME })
    t.match(result, { status: 0, signal: null }, name)
    t.match(readAnswers(result), [{ result: 'compressed', reusedBytes: undefined }])
    const warnings = result.stderr.match(/has name and size of a layer that is known/g) ?? []
    t.ok(warnings.length > 0 && warnings.length <= 5, `${warnings.length} warnings`)
    await bench.sh(carry, `xz -dc ${name}.xz | cmp - ${bad}`)
  }
  // In an image such a member is a damaged blob.
  const edit = (entries: TarEntry[]): TarEntry[] =>
    entries.map((entry) => members.find(({ path }) => path === entry.path) ?? entry)
  const image = dockerArchive({ layers, tags: ['known/layers:1.0'], layout: 'oci', edit }).archive
  const damaged = join(root, 'tars', 'image.tar')
  await writeFile(damaged, image)
  const args = ['--level', '0', '--json', '--dir', carry, damaged]
  const result = await run('compress_tars', args, { cwd: root, signalAfter: IN_TIME })
  t.match(readAnswers(result), [{ result: 'failed', error: { code: 'BAD_IMAGE' } }])
})
