import { readFile, readdir, truncate, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import t from 'tap'

import { checkAgainstMetadata } from '../../../lib/archive/check.ts'
import { readArchive } from '../../../lib/archive/reader.ts'
import { SegmentWriter } from '../../../lib/archive/segment-writer.ts'
import type { WriteListener } from '../../../lib/archive/writer.ts'
import { ToolError } from '../../../lib/core/errors.ts'
import { startChild } from '../../../lib/io/child.ts'
import type { Task } from '../../../lib/io/task.ts'
import { dockerArchive } from '../../fixtures/archive-builder.ts'
import type { Layout } from '../../fixtures/archive-layouts.ts'
import {
  COMPRESSORS,
  delivered,
  readers,
  sha256OfTar,
  write,
  type WriteSettings,
} from '../../fixtures/archive-writing.ts'
import { sha256 } from '../../fixtures/digest.ts'
import { digest } from '../../fixtures/digested-tar.ts'
import { readLayers, readMetadata } from '../../fixtures/directory-reading.ts'
import { pathOf } from '../../fixtures/oci-tar.ts'
import { sh } from '../../fixtures/run.ts'
import { pseudoRandom } from '../../fixtures/sample-layers.ts'
import { SEED, choose } from '../../fixtures/seed.ts'
import { tar, type TarEntry } from '../../fixtures/tar-builder.ts'

const LAYOUTS: Layout[] = ['legacy', 'oci', 'oci-gzip', 'podman']
const MIB = 1024 * 1024
const [XZ] = COMPRESSORS

/** Random bytes, then zeros: large at little cost. */
function layerOf(seed: string, bytes: number): Buffer {
  const layer = Buffer.alloc(bytes)
  pseudoRandom(seed, Math.min(bytes, 300_000)).copy(layer)
  return layer
}

const SIZES = [0, 1, 511, 512, 513, MIB - 1, MIB, MIB + 1, 2 * MIB + 100, 20 * MIB]

// What an engine's tar may hold beside the image, and any other tar holds.
const ODD: TarEntry[] = [
  { path: `odd/${'n'.repeat(200)}`, content: 'long name', format: 'pax', mtime: 1.5 },
  { path: `odd/${'m'.repeat(200)}`, content: 'long name', format: 'gnu-long', uid: 7 },
  { path: 'odd/hard', type: 'hardlink', linkPath: 'manifest.json', uname: 'someone' },
  { path: 'odd/huge', content: Buffer.alloc(3 * MIB), mtime: 1_700_000_000 },
  { path: 'odd/size', content: 'base 256', base256: true },
]

interface RandomImage {
  readonly layers: readonly Buffer[]
  readonly tar: Buffer
  /** The members before they became a tar. */
  readonly entries: readonly TarEntry[]
}

const Layer = fc.record({
  /** As one of those before. */
  again: fc.option(fc.nat(3), { freq: 1 }),
  sizeBytes: fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...SIZES) }, fc.nat(3 * MIB)),
  name: fc.nat(1000),
})
const Chosen = fc.record({
  layers: fc.array(Layer, { minLength: 1, maxLength: 5 }),
  odd: fc.subarray([...ODD]),
  at: fc.nat(),
})
const chosen = choose(Chosen, LAYOUTS.length * COMPRESSORS.length)

function randomImage(layout: Layout): RandomImage {
  const { layers: kinds, odd, at } = chosen.shift() ?? { layers: [], odd: [], at: 0 }
  const layers: Buffer[] = []
  for (const [index, { again, sizeBytes, name }] of kinds.entries()) {
    layers.push(layers[again ?? -1] ?? layerOf(`${index} ${name}`, sizeBytes))
  }
  layers.push(layerOf('known', MIB + 7))
  let entries: readonly TarEntry[] = []
  const edit = (members: TarEntry[]): TarEntry[] => {
    entries = members.toSpliced(at % members.length, 0, ...odd)
    return [...entries]
  }
  const { archive } = dockerArchive({ layers, tags: ['r.io/a:1'], layout, edit })
  return { layers, tar: archive, entries }
}

for (const layout of LAYOUTS) {
  for (const compressor of COMPRESSORS) {
    const title = `${layout}, ${compressor.name}`
    t.test(`writeArchive: a random image: ${title}, TEST_SEED=${SEED}`, async (t) => {
      const image = randomImage(layout)
      const blobs = new Set(
        image.layers.map((layer) => (layout === 'oci-gzip' ? gzipSync(layer) : layer)),
      )
      const normalize = compressor.name === 'xz'
      const options = { compressor, normalize }
      const want = normalize ? digest(image.tar, { normalize }).out : image.tar
      const dir = t.testdir({})

      const first = join(dir, 'threads-1.tar.xz')
      const { metadata } = await write(first, image.tar, { ...options, threads: 1 })
      t.equal(await sha256OfTar(first), sha256(want), 'the tar comes back')
      t.strictSame(await readMetadata(first), metadata)
      const big = new Set([...blobs].filter(({ length }) => length >= MIB).map(sha256))
      const cut = metadata.segments.flatMap(({ layerDigest: cutDigest = [] }) => cutDigest)
      t.strictSame(new Set(cut), big, 'each large layer is a segment')

      const bytes = await readFile(first)
      for (const threads of [2, 5]) {
        const path = join(dir, `threads-${threads}.tar.xz`)
        await write(path, image.tar, { ...options, threads })
        t.ok((await readFile(path)).equals(bytes), `the same with ${threads} threads`)
      }

      const reuse = (await readLayers([dir])).filter(({ archive }) => archive === first)
      const again = join(dir, 'reused.tar.xz')
      const expected = new Set([...blobs].map(sha256))
      const reused = await write(again, image.tar, { ...options, reuse, expected })
      t.ok((await readFile(again)).equals(bytes), 'the same with layers of another archive')
      t.strictSame(new Set(reused.reused.map((layer) => layer.digest)), big)

      // All of one size or none: else the size misleads, which takes another try.
      const sizes = [...new Set([...blobs].map(({ length }) => length))]
      const isSome = (size: number): boolean => size >= MIB && sizes.indexOf(size) % 2 === 0
      const some = [...blobs].filter(({ length }) => isSome(length))
      const excluded = delivered(some)
      const partial = await write(join(dir, 'a.tar.xz'), image.tar, { ...options, reuse, excluded })
      const left = tar(
        image.entries.filter(({ content = '' }) => !excluded.has(sha256(Buffer.from(content)))),
      )
      const increment = join(dir, partial.metadata.archive.file)
      const wantLeft = normalize ? digest(left, { normalize }).out : left
      t.equal(await sha256OfTar(increment), sha256(wantLeft), 'all but what was left out')
      t.strictSame(
        new Set((partial.metadata.requires ?? []).map((layer) => layer.digest)),
        new Set(excluded.keys()),
      )
      t.equal(await sh(`tar tf ${increment} | wc -l`), await sh('tar t | wc -l', { input: left }))

      for (const path of [first, increment]) {
        const found = await readMetadata(path)
        if (!found) throw new Error(`no metadata of ${path}`)
        const read = await readArchive({
          archive: path,
          decompressors: readers(compressor),
          threads: 2,
          md5: true,
          onProgress: () => {},
          metadata: found,
          signal: new AbortController().signal,
        })
        t.doesNotThrow(() => checkAgainstMetadata(read, found), 'it is what its metadata says')
      }
    })
  }
}

t.test('writeArchive: any other tar, with sparse members, as it is', async (t) => {
  const dir = t.testdir({ text: 'text' })
  await sh('truncate -s 30M holes; printf x >> holes; ln text hard; seq 400000 > data', {
    cwd: dir,
  })
  await sh('mv data $(printf a%.0s {1..64}); tar -cSf ../odd.tar --format=gnu .', { cwd: dir })
  const bytes = await readFile(join(dir, '..', 'odd.tar'))
  const path = join(dir, 'odd.tar.xz')
  const { metadata } = await write(path, bytes, { modified: '2024-05-01T12:00:00.000Z' })
  t.equal(await sha256OfTar(path), sha256(bytes))
  t.strictSame(metadata.images, [])
  t.match(metadata.tar, { sizeBytes: bytes.length, modified: '2024-05-01T12:00:00.000Z' })
  t.equal(metadata.tar.contentMd5, undefined)
  t.strictSame(
    metadata.segments.flatMap(({ layerDigest: found = [] }) => found),
    [],
  )
})

/** Three layers of one size, and the image of the last. */
const [KNOWN, OTHER, OWN] = ['known', 'other', 'own'].map((seed) => layerOf(seed, MIB + 1))
const SMALL = layerOf('small', 1000)

function imageOf(layout: Layout, ...layers: (Buffer | undefined)[]): Buffer {
  return dockerArchive({ layers: layers.map((layer) => layer ?? SMALL), tags: [], layout }).archive
}

/** Collects the reasons of second tries. */
function retries(): { reasons: string[]; onRetry: (reason: string) => void } {
  const reasons: string[] = []
  return { reasons, onRetry: (reason) => reasons.push(reason) }
}

// layout, whether the member's name tells what it is not
const NAMED: [Layout, boolean][] = [['legacy', false], ['oci', true], ['podman', true]] // prettier-ignore

for (const [layout, isNamed] of NAMED) {
  t.test(`writeArchive: ${layout}: a layer of the size of another, not to be reused`, async (t) => {
    const dir = t.testdir({})
    await write(join(dir, 'known.tar.xz'), imageOf(layout, KNOWN))
    const image = imageOf(layout, OTHER, OWN)
    const { metadata } = await write(join(dir, 'plain.tar.xz'), image)
    const known = await readLayers([dir])
    const reuse = known.filter((layer) => layer.digest === sha256(KNOWN ?? ''))
    t.equal(reuse.length, 1)
    const { reasons, onRetry } = retries()
    const again = await write(join(dir, 'again.tar.xz'), image, { reuse, onRetry })
    t.equal(reasons.length, isNamed ? 0 : 1)
    t.match(
      reasons,
      reasons.map(() => /layer\.tar" has the size of a layer that is known/),
    )
    t.strictSame(again.metadata.archive.sha256, metadata.archive.sha256)
    t.strictSame(again.reused, [])
    t.strictSame(
      (await readdir(dir)).filter((name) => name.endsWith('.tmp')),
      [],
    )
  })

  t.test(
    `writeArchive: ${layout}: a layer of the size of another, not to be left out`,
    async (t) => {
      const dir = t.testdir({})
      const image = imageOf(layout, OTHER)
      const { metadata } = await write(join(dir, 'plain.tar.xz'), image)
      const { reasons, onRetry } = retries()
      const excluded = delivered(KNOWN ? [KNOWN] : [])
      const again = await write(join(dir, 'a.tar.xz'), image, { excluded, onRetry })
      t.equal(reasons.length, isNamed ? 0 : 1)
      t.equal(again.metadata.requires, undefined)
      t.match(again.metadata.archive, { file: 'a.tar.xz', sha256: metadata.archive.sha256 })
    },
  )
}

for (const isLeftOut of [false, true]) {
  const title = isLeftOut ? 'left out' : 'reused'
  t.test(`writeArchive: layers that are not what their names say, to be ${title}`, async (t) => {
    const dir = t.testdir({})
    const layers = Array.from({ length: 7 }, (_, n) => layerOf(`named ${n}`, MIB + 512 * n))
    await write(join(dir, 'known.tar.xz'), imageOf('oci', ...layers))
    const known = isLeftOut ? { excluded: delivered(layers) } : { reuse: await readLayers([dir]) }
    const entries = layers.map((layer) => {
      const content = Buffer.from(layer)
      content[7] = (content[7] ?? 0) ^ 1
      return { path: pathOf(layer), content }
    })
    const { reasons, onRetry } = retries()
    const options = { ...known, onRetry }
    const { metadata, reused } = await write(join(dir, 'bad.tar.xz'), tar(entries), options)
    t.equal(reasons.length, 5)
    t.strictSame([metadata.requires, reused], [undefined, []])
    t.equal(await sha256OfTar(join(dir, 'bad.tar.xz')), sha256(tar(entries)))
  })
}

t.test('writeArchive: a layer that the image cannot have is not guessed', async (t) => {
  const dir = t.testdir({})
  const options = {
    excluded: delivered(KNOWN ? [KNOWN] : []),
    expected: new Set([sha256(OTHER ?? '')]),
  }
  const { metadata } = await write(join(dir, 'a.tar.xz'), imageOf('legacy', OTHER), options)
  t.equal(metadata.requires, undefined)
})

t.test('writeArchive: of several archives that hold a layer the first one counts', async (t) => {
  const dir = t.testdir({ first: {}, second: {} })
  const archives = ['first', 'second'].map((name) => join(dir, name, 'a.tar.xz'))
  for (const archive of archives) await write(archive, imageOf('oci', KNOWN))
  for (const each of [archives, archives.toReversed()]) {
    const reuse = await readLayers(each.map((archive) => dirname(archive)))
    const { reused } = await write(join(dir, 'again.tar.xz'), imageOf('oci', KNOWN), { reuse })
    t.match(reused, [{ archive: each[0] }])
    t.equal(reused.length, 1)
  }
})

t.test('writeArchive: what was changed or lost meanwhile is not reused', async (t) => {
  const dir = t.testdir({ first: {}, second: {}, third: {} })
  const image = imageOf('oci', KNOWN, SMALL, OTHER, OWN)
  const { metadata } = await write(join(dir, 'plain.tar.xz'), image)
  const layers: Record<string, Buffer | undefined> = { first: KNOWN, second: OTHER, third: OWN }
  for (const [name, layer] of Object.entries(layers)) {
    await write(join(dir, name, 'a.tar.xz'), imageOf('oci', layer))
  }
  const dirs = Object.keys(layers).map((name) => join(dir, name))
  const reuse = await readLayers(dirs)
  const damaged = join(dir, 'second', 'a.tar.xz')
  const bytes = await readFile(damaged)
  const at = 100_000 + (reuse.find(({ archive }) => archive === damaged)?.segment.offsetBytes ?? 0)
  bytes[at] = (bytes[at] ?? 0) ^ 1
  await writeFile(damaged, bytes)
  await truncate(join(dir, 'third', 'a.tar.xz'), 10)
  const { reasons, onRetry } = retries()
  const again = await write(join(dir, 'again.tar.xz'), image, { reuse, onRetry })
  t.match(reasons, [`reuse a layer of "${damaged}": check `, 'reuse a layer of "'])
  t.equal(reasons.length, 2)
  t.equal(again.metadata.archive.sha256, metadata.archive.sha256)
  t.match(again.reused, [{ digest: sha256(KNOWN ?? '') }])
})

t.test('writeArchive: the metadata names layers of its images only', async (t) => {
  const stray: TarEntry = { path: `x/${'0'.repeat(64)}.tar`, content: OTHER ?? '' }
  const edit = (entries: TarEntry[]): TarEntry[] => [stray, ...entries]
  const layers = KNOWN ? [KNOWN] : []
  const { archive } = dockerArchive({ layers, tags: [], layout: 'legacy', edit })
  const { metadata } = await write(join(t.testdir({}), 'a.tar.xz'), archive)
  const [image] = metadata.images
  t.strictSame(
    metadata.segments.map(({ layerDigest: found }) => found),
    [undefined, undefined, undefined, image?.layers[0]?.digest, undefined],
  )
})

const IMAGE = imageOf('oci', KNOWN, OTHER)

// what fails, the options, the error
const FAILURES: [
  string,
  (file: string) => WriteSettings,
  { code?: string; message: string },
][] = [
  ['a tar that stops short', () => ({ open: () => ({ tar: Readable.from([IMAGE.subarray(0, -1024)]) }) }), { code: 'TRUNCATED_TAR', message: 'read tar: it stops' }],
  ['a tar that cannot be read', () => ({ open: () => ({ tar: failing(IMAGE, new Error('EIO')) }) }), { message: 'EIO' }],
  ['a tar that is damaged', () => ({ open: () => ({ tar: Readable.from([Buffer.alloc(1024, 'x')]) }) }), { code: 'BAD_TAR', message: 'read tar' }],
  ['an image that is not what it should be', () => ({ describe: () => { throw new ToolError('BAD_IMAGE', 'another') } }), { code: 'BAD_IMAGE', message: 'another' }],
  ['a source that dies', (file) => ({ open: () => fromChild(file, 'head -c 100 "$1"; echo gone >&2; exit 1') }), { message: 'source: gone' }],
  ['a source that is whole, but fails', (file) => ({ open: () => fromChild(file, 'cat "$1"; echo late >&2; exit 1') }), { message: 'source: late' }],
  ['a run that is told to stop', (file) => ({ signal: AbortSignal.timeout(100), open: () => fromChild(file, 'cat "$1"; exec sleep 60') }), { code: 'INTERRUPTED', message: 'interrupted' }],
  ['a run that was told to stop before', (file) => ({ signal: AbortSignal.abort(), open: () => fromChild(file, 'cat "$1"; exec sleep 60') }), { code: 'INTERRUPTED', message: 'interrupted' }],
] // prettier-ignore

for (const [what, options, error] of FAILURES) {
  t.test(`writeArchive: of ${what} nothing is left, what was there stays`, async (t) => {
    const old = { 'a.tar.xz': 'old', 'a.tar.xz.json': '{}', SHA256SUMS: '' }
    const dir = join(t.testdir({ old, 'image.tar': IMAGE }), 'old')
    const path = join(dir, 'a.tar.xz')
    await t.rejects(write(path, IMAGE, options(join(dir, '..', 'image.tar'))), error)
    t.strictSame((await readdir(dir)).toSorted(), ['SHA256SUMS', 'a.tar.xz', 'a.tar.xz.json'])
    t.equal(await readFile(join(dir, 'a.tar.xz'), 'utf8'), 'old')
  })
}

// when, what comes before that
const STOPS: [string, (at: number) => number][] = [
  ['before it begins', () => 0],
  ['while there is no compressor yet', () => 1],
  ['where a layer begins', (at) => at],
  ['in a layer', (at) => at + 100_000],
]

for (const [when, before] of STOPS) {
  t.test(`writeArchive: told to stop ${when}, leaves no compressor`, async (t) => {
    const dir = t.testdir({})
    const controller = new AbortController()
    const at = before(IMAGE.indexOf(OTHER ?? ''))
    async function* stopped(): AsyncGenerator<Buffer> {
      yield Buffer.from(IMAGE.subarray(0, at))
      await delay(at > 1 ? 200 : 0)
      controller.abort()
      yield Buffer.from(IMAGE.subarray(at))
    }
    const open = (): { tar: Readable } => ({ tar: Readable.from(stopped()) })
    const { signal } = controller
    const writing = write(join(dir, 'a.tar.xz'), IMAGE, { open, signal })
    await t.rejects(writing, { code: 'INTERRUPTED' })
    t.strictSame(await readdir(dir), [])
    t.equal(await sh(`pgrep -P ${process.pid} -x 'xz|pixz' || true`), '')
  })
}

t.test('writeArchive: a directory that is not there', async (t) => {
  const open = (): never => {
    throw new Error('the source is not to be opened')
  }
  await t.rejects(write(join(t.testdir({}), 'no', 'a.tar.xz'), IMAGE, { open }), { code: 'ENOENT' })
})

t.test('writeArchive: tells how far it is', async (t) => {
  const seen: number[] = []
  const onProgress: WriteListener['onProgress'] = ({ tarBytes }) => seen.push(tarBytes)
  await write(join(t.testdir({}), 'a.tar.xz'), IMAGE, { onProgress, compressor: XZ })
  t.equal(seen.at(-1), IMAGE.length)
  t.strictSame(
    seen,
    seen.toSorted((a, b) => a - b),
  )
})

async function* fail(bytes: Buffer, error: Error): AsyncGenerator<Buffer> {
  yield bytes
  throw error
}

function failing(bytes: Buffer, error: Error): Readable {
  return Readable.from(fail(bytes, error))
}

function fromChild(file: string, script: string): { tar: Readable; child: Task } {
  const child = startChild('sh', ['-c', script, 'sh', file], {
    toError: (stderr) => new ToolError('ENGINE_FAILED', `source: ${stderr}`),
  })
  return { tar: child.stdout, child }
}

t.test('writeArchive: segments that are not all of the tar are never metadata', async (t) => {
  const { write: writeLess } = await t.mockImport<
    typeof import('../../fixtures/archive-writing.ts')
  >('../../fixtures/archive-writing.ts', {
    '../../../lib/archive/segment-writer.ts': {
      SegmentWriter: class extends SegmentWriter {
        override async finish() {
          return { ...(await super.finish()), segments: [] }
        }
      },
    },
  })
  const dir = t.testdir({})
  const { archive } = dockerArchive({ layers: [], tags: [], layout: 'oci' })
  await t.rejects(writeLess(join(dir, 'a.tar.xz'), archive), /^the segments hold 0 bytes of a tar/)
  t.strictSame(await readdir(dir), [])
})
