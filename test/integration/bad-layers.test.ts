// Segments, reused layers and earlier archives that are not what they seem:
// each works in full, or is refused before the engine is touched.
import { createHash } from 'node:crypto'
import { readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'

import type { ArchiveMetadata, Segment } from '../../lib/delivery/metadata.ts'
import { wrapCommand } from '../fixtures/faults.ts'
import { run, type Program } from '../fixtures/run.ts'
import { buildImage, busyboxLayer, dataLayer } from '../fixtures/sample-images.ts'
import {
  archiveOf,
  damageLayer,
  incrementOf,
  readAnswers,
  recordOf,
  setUp,
  type Answer,
} from '../fixtures/workbench.ts'

// Whoever sees it first: the sha256 of the segment, or the decompressor.
const DAMAGED = /^(MISMATCH|BAD_ARCHIVE)$/

const bench = await setUp(t)
const { engine } = bench
const build = async (name: string, ...seeds: string[]) =>
  buildImage(engine, bench.registry, {
    name: `sample/${name}`,
    layers: [await busyboxLayer(), ...seeds.map(dataLayer)],
  })
const old = await build('tool:1', 'shared', 'old')
const tool = await build('tool:2', 'shared', 'new')
const [, shared = ''] = tool.diffIds

// The archives in full, and the second one as an increment of the first.
const root = t.testdir({ base: {}, full: {}, increment: {} })
const save = (dir: string, ...args: string[]): Promise<Answer[]> =>
  bench.ask('save_compressed_tars', dir, '--no-pull', '--level', '1', ...args)
await save(join(root, 'base'), old.reference)
await save(join(root, 'full'), tool.reference)
await save(join(root, 'increment'), '--since', '../base', tool.reference)
const metadata = await recordOf(join(root, 'full'), archiveOf(tool))
const increment = incrementOf(archiveOf(tool))

/** A copy of one of the directories above, and an engine without images. */
async function prepare(t: Test, from: 'base' | 'full' | 'increment'): Promise<string> {
  const dir = t.testdir()
  await bench.sh(dir, `cp ${join(root, from)}/* .`)
  await bench.removeImages()
  return dir
}

/** Changes metadata, and their sum, as somebody would who means to deceive. */
async function writeRecord(dir: string, archive: string, changed: object): Promise<void> {
  await writeFile(join(dir, `${archive}.json`), JSON.stringify(changed))
  const sum = `sed -i "/  ${archive}.json$/d" SHA256SUMS; sha256sum ${archive}.json >>SHA256SUMS`
  await bench.sh(dir, `[ ! -e SHA256SUMS ] || { ${sum}; }`)
}

/** Runs a program with an engine that tells whether it was sent something. */
async function watch(
  program: Program,
  dir: string,
  ...args: string[]
): Promise<[Answer[], string]> {
  const log = join(dir, 'log')
  const bin = join(dir, `bin-${Date.now()}`)
  const path = await wrapCommand(bin, 'docker', `echo "$1" >>${log}; exec "$real" "$@"`)
  await writeFile(log, '')
  const env = { ...engine.env, ...path }
  const result = await run(program, [...args, '--json'], { cwd: dir, env })
  return [readAnswers(result), await readFile(log, 'utf8')]
}

async function refusesToLoad(
  t: Test,
  dir: string,
  error: { code: string; message?: string | RegExp },
  ...args: string[]
): Promise<void> {
  const [answers, commands] = await watch('load_compressed_tars', dir, ...args)
  t.match(answers, [{ result: 'failed', error }])
  t.notMatch(commands, /^load$/m, 'nothing was sent')
  t.equal(await bench.listImages(), '', 'the engine has no image')
}

type Change = (segments: Segment[]) => readonly Segment[]

const change =
  (index: number, edit: (segment: Segment) => Partial<Segment>): Change =>
  (segments) =>
    segments.map((segment, each) => (each === index ? { ...segment, ...edit(segment) } : segment))

const RECORDS: Record<string, Change> = {
  'segments that overlap': change(1, ({ offsetBytes }) => ({ offsetBytes: offsetBytes - 1 })),
  'segments that overlap in the tar': change(1, ({ tarOffsetBytes }) => ({
    tarOffsetBytes: tarOffsetBytes - 512,
  })),
  'a gap between segments': change(1, ({ offsetBytes }) => ({ offsetBytes: offsetBytes + 1 })),
  'a gap between segments in the tar': change(1, ({ tarOffsetBytes }) => ({
    tarOffsetBytes: tarOffsetBytes + 512,
  })),
  'a gap at the start': (segments) => segments.slice(1),
  'a gap at the end': (segments) => segments.slice(0, -1),
  'segments that point past the end': (segments) =>
    change(segments.length - 1, ({ sizeBytes }) => ({ sizeBytes: sizeBytes + 1 }))(segments),
  'segments that point past the end of the tar': (segments) =>
    change(segments.length - 1, ({ tarSizeBytes }) => ({ tarSizeBytes: tarSizeBytes + 1 }))(
      segments,
    ),
  'a segment of a negative size': change(1, () => ({ sizeBytes: -1 })),
  'a segment of a size beyond all numbers': change(1, () => ({ sizeBytes: 2 ** 60 })),
  'two segments in the wrong order': ([first, second, ...rest]) =>
    first && second ? [second, first, ...rest] : [],
}

for (const [what, edit] of Object.entries(RECORDS)) {
  t.test(`metadata: ${what}`, async (t) => {
    const dir = await prepare(t, 'full')
    await writeRecord(dir, archiveOf(tool), { ...metadata, segments: edit([...metadata.segments]) })
    await refusesToLoad(t, dir, { code: 'BAD_RECORD', message: /segments/ })
    t.match(await bench.ask('verify_checksums', dir), [
      { result: 'failed', error: { code: 'BAD_RECORD' } },
    ])
  })
}

t.test('metadata: nothing is reused by one that is wrong', async (t) => {
  const dir = await prepare(t, 'full')
  await bench.ask('load_compressed_tars', join(root, 'base'))
  const segments = RECORDS['segments that overlap']?.([...metadata.segments])
  await writeRecord(dir, archiveOf(tool), { ...metadata, segments })
  t.match(await save(dir, old.reference), [{ result: 'saved', reusedBytes: undefined }])
})

t.test('metadata: a segment whose layer is not that layer', async (t) => {
  const dir = await prepare(t, 'full')
  const layers = metadata.segments.filter(({ layerDigest }) => layerDigest !== undefined)
  const [first, second] = layers.map(({ layerDigest }) => layerDigest)
  const swapped = metadata.segments.map((segment) => {
    const { layerDigest } = segment
    if (layerDigest === undefined || layerDigest === layers.at(-1)?.layerDigest) return segment
    return { ...segment, layerDigest: layerDigest === first ? (second ?? '') : (first ?? '') }
  })
  await writeRecord(dir, archiveOf(tool), { ...metadata, segments: swapped })
  t.match(await bench.ask('verify_checksums', dir), [
    { result: 'failed', error: { code: 'MISMATCH' } },
  ])
  const [answers] = await watch('load_compressed_tars', dir)
  if (answers[0]?.result === 'loaded') {
    t.equal(
      await bench.engine.docker('inspect', '-f', '{{.Id}}', tool.reference),
      tool.configDigest,
    )
  } else {
    t.match(answers, [{ result: 'failed' }])
    t.equal(await bench.listImages(), '')
  }
})

t.test('metadata: a segment that is not what it says, of another image', async (t) => {
  const dir = await prepare(t, 'full')
  const edit = change(1, () => ({ sha256: '0'.repeat(64) }))
  await writeRecord(dir, archiveOf(tool), { ...metadata, segments: edit([...metadata.segments]) })
  t.match(await bench.ask('verify_checksums', dir), [
    { result: 'failed', error: { code: 'MISMATCH' } },
  ])
})

t.test('base: missing', async (t) => {
  const dir = await prepare(t, 'increment')
  await refusesToLoad(t, dir, { code: 'MISSING_LAYER', message: `"${archiveOf(old)}"` })
})

t.test('base: its metadata is there, the archive is not', async (t) => {
  const dir = await prepare(t, 'increment')
  await bench.sh(dir, `cp ${join(root, 'base')}/*.json .`)
  await refusesToLoad(t, dir, { code: 'MISSING_LAYER', message: shared }, increment)
})

t.test('base: the archive is there, its metadata is not', async (t) => {
  const dir = await prepare(t, 'increment')
  await bench.sh(dir, `cp ${join(root, 'base')}/*.xz .`)
  await refusesToLoad(t, dir, { code: 'MISSING_LAYER', message: shared }, increment)
})

t.test('base: truncated', async (t) => {
  const dir = await prepare(t, 'increment')
  await bench.sh(
    dir,
    `cp ${join(root, 'base')}/{*.xz,*.json} . && cat ${join(root, 'base')}/SHA256SUMS >>SHA256SUMS`,
  )
  await truncate(join(dir, archiveOf(old)), 100_000)
  await refusesToLoad(t, dir, { code: 'MISSING_LAYER' }, increment)
})

t.test('base: damaged', async (t) => {
  const dir = await prepare(t, 'increment')
  await bench.sh(
    dir,
    `cp ${join(root, 'base')}/{*.xz,*.json} . && cat ${join(root, 'base')}/SHA256SUMS >>SHA256SUMS`,
  )
  await damageLayer(dir, archiveOf(old), shared)
  t.match(await bench.ask('load_compressed_tars', dir, increment), [
    { result: 'failed', error: { code: DAMAGED, message: archiveOf(old) } },
  ])
  t.equal(await bench.listImages(), '', 'the engine has no image')
  t.match(await bench.ask('verify_checksums', dir, increment), [
    { result: 'failed', error: { code: DAMAGED } },
  ])
})

t.test('base: damaged where nothing is needed from', async (t) => {
  const dir = await prepare(t, 'increment')
  await bench.sh(
    dir,
    `cp ${join(root, 'base')}/{*.xz,*.json} . && cat ${join(root, 'base')}/SHA256SUMS >>SHA256SUMS`,
  )
  await damageLayer(dir, archiveOf(old), old.diffIds[2] ?? '')
  t.match(await bench.ask('load_compressed_tars', dir, increment), [{ result: 'loaded' }])
})

// What its metadata says of the codec: the first bytes of the archive tell it.
for (const [codec, isRead] of [
  ['zstd', true],
  ['lz4', false],
] as const) {
  t.test(`base: its metadata says ${codec}`, async (t) => {
    const dir = await prepare(t, 'increment')
    await bench.sh(
      dir,
      `cp ${join(root, 'base')}/{*.xz,*.json} . && cat ${join(root, 'base')}/SHA256SUMS >>SHA256SUMS`,
    )
    const base = await recordOf(dir, archiveOf(old))
    const archive = { ...base.archive, codec }
    await writeRecord(dir, archiveOf(old), { ...base, archive })
    if (isRead) {
      t.match(await bench.ask('load_compressed_tars', dir, increment), [{ result: 'loaded' }])
    } else {
      const error = { code: 'MISSING_LAYER', message: archiveOf(old) }
      await refusesToLoad(t, dir, error, increment)
    }
  })
}

t.test('base: of another level', async (t) => {
  const dir = await prepare(t, 'increment')
  await bench.ask('load_compressed_tars', join(root, 'base'))
  await bench.ask('save_compressed_tars', dir, '--no-pull', '--level', '0', old.reference)
  await bench.removeImages()
  t.match(await bench.ask('load_compressed_tars', dir, increment), [{ result: 'loaded' }])
})

t.test('increment: without its metadata', async (t) => {
  const dir = await prepare(t, 'increment')
  await rm(join(dir, `${increment}.json`))
  const [answer] = await bench.ask('load_compressed_tars', dir)
  t.match(answer, { result: 'failed', error: { code: 'NO_RECORD', hint: /copy its \.json/ } })
  t.equal(await bench.listImages(), '', 'the engine has no image')
})

t.test('increment: a path out of the tar', async (t) => {
  const dir = await prepare(t, 'increment')
  const own = await recordOf(dir, increment)
  for (const path of ['../../etc/passwd', '/etc/passwd', '']) {
    const requires = own.requires?.map((layer) => ({ ...layer, path }))
    await writeRecord(dir, increment, { ...own, requires })
    await refusesToLoad(t, dir, { code: 'BAD_RECORD', message: /requires\.0\.path/ })
  }
  const requires = own.requires?.map((layer) => ({ ...layer, archive: '../base.tar.xz' }))
  await writeRecord(dir, increment, { ...own, requires })
  await refusesToLoad(t, dir, { code: 'BAD_RECORD', message: /requires\.0\.archive/ })
})

/** Rewrites the segment of the shared layer in an archive: other bytes, with metadata that fits. */
async function rewriteShared(
  dir: string,
  archive: string,
  filter: string,
): Promise<ArchiveMetadata> {
  const own = await recordOf(dir, archive)
  const bytes = await readFile(join(dir, archive))
  const at = own.segments.findIndex(({ layerDigest }) => layerDigest === shared)
  const part = own.segments.map(({ offsetBytes, sizeBytes }) =>
    bytes.subarray(offsetBytes, offsetBytes + sizeBytes),
  )
  await writeFile(join(dir, 'segment'), part[at] ?? '')
  await bench.sh(dir, `xz -dc segment | ${filter} | xz -1 --check=crc32 >other`)
  // As the tool itself does, for pixz.
  await bench.sh(dir, 'head -c 4096 /dev/zero >>other')
  part[at] = await readFile(join(dir, 'other'))
  await bench.sh(dir, 'rm segment other')
  let offsetBytes = 0
  const segments = own.segments.map((segment, index) => {
    const content = part[index] ?? Buffer.alloc(0)
    const placed = { offsetBytes, sizeBytes: content.length, sha256: sha256(content) }
    offsetBytes += content.length
    return { ...segment, ...placed }
  })
  const whole = Buffer.concat(part)
  await writeFile(join(dir, archive), whole)
  const changed = {
    ...own,
    archive: { ...own.archive, sizeBytes: whole.length, sha256: sha256(whole) },
    segments,
  }
  await writeRecord(dir, archive, changed)
  await bench.sh(dir, 'rm SHA256SUMS')
  return changed
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

t.test('two archives: one layer, compressed to different bytes', async (t) => {
  const dir = await prepare(t, 'base')
  await rewriteShared(dir, archiveOf(old), 'cat')
  t.match(await bench.ask('verify_checksums', dir, '--against', 'record'), [{ result: 'verified' }])
  await bench.sh(dir, `cp ${join(root, 'full')}/{*.xz,*.json} .`)
  await bench.ask('load_compressed_tars', dir)
  const third = await build('tool:3', 'shared', 'third')
  t.match(await save(dir, third.reference), [{ result: 'saved', reusedBytes: Number }])
  t.match(await bench.ask('verify_checksums', dir, '--against', 'engine', third.reference), [
    { result: 'verified' },
  ])
  await bench.removeImages()
  t.match(await bench.ask('load_compressed_tars', dir, archiveOf(third)), [{ result: 'loaded' }])
})

t.test('two archives: one of them claims a layer that it does not have', async (t) => {
  const dir = await prepare(t, 'base')
  await rewriteShared(dir, archiveOf(old), 'tr a b')
  t.match(await bench.ask('verify_checksums', dir, '--against', 'record'), [
    { result: 'failed', error: { code: 'BAD_IMAGE' } },
  ])
  t.match(await bench.ask('load_compressed_tars', dir), [{ result: 'failed' }])
  t.equal(await bench.listImages(), '', 'the engine has no image')
  await bench.sh(dir, `cp ${join(root, 'full')}/{*.xz,*.json} .`)
  const third = await build('tool:4', 'shared', 'fourth')
  const args = ['--no-pull', '--level', '1', '--json', third.reference]
  const result = await bench.run('save_compressed_tars', dir, ...args)
  // The one that is right is used after all.
  t.match(readAnswers(result), [{ result: 'saved', reusedBytes: Number }])
  t.match(result.stderr, /warning: reuse a layer of ".*tool-1\.tar\.xz": check a layer/)
  t.match(await bench.ask('verify_checksums', dir, '--against', 'engine', third.reference), [
    { result: 'verified' },
  ])
})

t.test('base: a layer that is not what its metadata says', async (t) => {
  const base = await prepare(t, 'base')
  await rewriteShared(base, archiveOf(old), 'tr a b')
  const args = ['--base', base]
  // Several times: which of the children ends first is chance.
  for (let n = 0; n < 5; n++) {
    const [answer] = await bench.ask('load_compressed_tars', join(root, 'increment'), ...args)
    t.match(answer, { result: 'failed', error: { code: 'MISMATCH' } })
  }
  t.equal(await bench.listImages(), '', 'the engine has no image')
  const [verified] = await bench.ask('verify_checksums', join(root, 'increment'), ...args)
  t.match(verified, { result: 'failed', error: { code: 'MISMATCH' } })
})

t.test('no segments: an archive of the plain pipeline is no help, and no harm', async (t) => {
  const dir = await prepare(t, 'increment')
  await bench.ask('load_compressed_tars', join(root, 'base'))
  await bench.sh(dir, `docker save ${old.reference} | pixz >${archiveOf(old)}`)
  const args = ['--no-pull', '--level', '2', old.reference]
  const refused = { result: 'failed', error: { code: 'NAME_CLASH' } }
  t.match(await bench.ask('save_compressed_tars', dir, ...args), [refused])
  t.match(await bench.ask('save_compressed_tars', dir, ...args, '--force'), [
    { result: 'saved', reusedBytes: undefined },
  ])
  await bench.sh(
    dir,
    `rm ${archiveOf(old)}.json; docker save ${old.reference} | pixz >${archiveOf(old)}; rm SHA256SUMS`,
  )
  await bench.removeImages()
  await refusesToLoad(t, dir, { code: 'MISSING_LAYER' }, increment)
  t.match(await bench.ask('load_compressed_tars', dir, archiveOf(old)), [{ result: 'loaded' }])
  t.match(await bench.ask('load_compressed_tars', dir, increment), [
    { result: 'loaded', skippedBytes: Number },
  ])
})
