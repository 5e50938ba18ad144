import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'

import { assembleTar, type Assembly } from '../../../lib/archive/assembler.ts'
import { verifyLayers } from '../../../lib/archive/layer-reader.ts'
import { ToolError } from '../../../lib/core/errors.ts'
import type { IndexedLayer } from '../../../lib/delivery/layer-index.ts'
import { planLoad } from '../../../lib/delivery/layer-plan.ts'
import type { ArchiveMetadata } from '../../../lib/delivery/metadata.ts'
import { readImages } from '../../../lib/image/docker-archive.ts'
import { startChild } from '../../../lib/io/child.ts'
import type { Task } from '../../../lib/io/task.ts'
import { dockerArchive } from '../../fixtures/archive-builder.ts'
import type { Layout } from '../../fixtures/archive-layouts.ts'
import { COMPRESSORS, delivered, readers, write } from '../../fixtures/archive-writing.ts'
import { sha256 } from '../../fixtures/digest.ts'
import { digest } from '../../fixtures/digested-tar.ts'
import { readLayers, readMetadata } from '../../fixtures/directory-reading.ts'
import { sh } from '../../fixtures/run.ts'
import { pseudoRandom } from '../../fixtures/sample-layers.ts'

const MIB = 1024 * 1024
const BASE = layerOf('base', 3 * MIB + 100)
const TOP = layerOf('top', 5 * MIB)
const LAYERS = [BASE, pseudoRandom('small', 1000), TOP]
const LAYOUTS: Layout[] = ['legacy', 'oci', 'podman']

const progress: number[] = []
const OPTIONS = {
  decompressors: readers(),
  threads: 2,
  onProgress: ({ share }: { share: number }) => progress.push(share),
  signal: new AbortController().signal,
}

interface Carried {
  readonly archive: string
  readonly metadata: ArchiveMetadata
  readonly held: readonly IndexedLayer[]
  /** The tar in full. */
  readonly tar: Buffer
}

const TARS = LAYOUTS.map(
  (layout) => dockerArchive({ layers: LAYERS, tags: ['a:1'], layout }).archive,
)
// They are written once, and copied to where a test may break them.
const written = t.testdir({})
for (const [index, layout] of LAYOUTS.entries()) {
  const tar = TARS[index] ?? Buffer.alloc(0)
  await mkdir(join(written, layout, 'base'), { recursive: true })
  await write(join(written, layout, 'base', 'a.tar.xz'), tar)
  await write(join(written, layout, 'a.tar.xz'), tar)
  await write(join(written, layout, 'a.tar.xz'), tar, { excluded: delivered([BASE]) })
}

/** The archive in full in `base`, and the same image in full or as an increment. */
async function carry(t: Test, layout: Layout, isIncrement: boolean): Promise<Carried> {
  const dir = t.testdir({})
  await cp(join(written, layout), dir, { recursive: true })
  const archive = join(dir, isIncrement ? 'a.increment.tar.xz' : 'a.tar.xz')
  const metadata = await readMetadata(archive)
  if (!metadata) throw new Error('there is no metadata')
  const held = await readLayers([join(dir, 'base')])
  return { archive, metadata, held, tar: TARS[LAYOUTS.indexOf(layout)] ?? Buffer.alloc(0) }
}

/** An engine that keeps what it got. */
function startSink(t: Test): { engine: Task; path: string } {
  const path = join(t.testdirName, 'got')
  const engine = startChild('tee', [path], {
    toError: (stderr) => new ToolError('ENGINE_FAILED', stderr),
  })
  engine.stdout.resume()
  return { engine, path }
}

/** Random bytes, then zeros: large at little cost. */
function layerOf(seed: string, bytes: number): Buffer {
  const layer = Buffer.alloc(bytes)
  pseudoRandom(seed, 200_000).copy(layer)
  return layer
}

function assembly({ archive, metadata, held }: Carried, omitted: readonly Buffer[]): Assembly {
  const { restored } = planLoad(metadata, undefined, held)
  return { archive, metadata, excluded: new Set(omitted.map(sha256)), restored }
}

for (const layout of LAYOUTS) {
  t.test(`assembleTar: ${layout}: all of it is the tar`, async (t) => {
    const carried = await carry(t, layout, false)
    const { engine, path } = startSink(t)
    progress.length = 0
    await assembleTar(assembly(carried, []), OPTIONS, { start: () => engine })
    t.ok((await readFile(path)).equals(carried.tar))
    t.equal(progress.at(-1), 1)
  })

  t.test(`assembleTar: ${layout}: without a layer it is the tar without it`, async (t) => {
    const carried = await carry(t, layout, false)
    const { engine, path } = startSink(t)
    await assembleTar(assembly(carried, [TOP]), OPTIONS, { start: () => engine })
    const got = await readFile(path)
    const before = (await sh('tar t', { input: carried.tar })).split('\n')
    const after = (await sh('tar t', { input: got })).split('\n')
    t.equal(after.length, before.length - 1)
    t.equal(got.length, carried.tar.length - 512 - TOP.length)
  })

  t.test(`assembleTar: ${layout}: an increment gets its layers back`, async (t) => {
    const carried = await carry(t, layout, true)
    t.match(carried.metadata.requires, [{ digest: sha256(BASE) }])
    const { engine, path } = startSink(t)
    await assembleTar(assembly(carried, []), OPTIONS, { start: () => engine })
    const got = await readFile(path)
    t.strictSame(readImages(digest(got).tar), readImages(digest(carried.tar).tar))
    t.equal(got.length, carried.tar.length)
    t.equal(
      await sh('tar t | sort', { input: got }),
      await sh('tar t | sort', { input: carried.tar }),
    )
  })

  t.test(`assembleTar: ${layout}: without an engine, it is verified only`, async (t) => {
    const carried = await carry(t, layout, true)
    await t.resolves(assembleTar(assembly(carried, [TOP]), OPTIONS))
    await t.resolves(assembleTar(assembly(carried, [BASE, TOP]), OPTIONS))
  })
}

type Damage = (carried: Carried) => Promise<Carried> | Carried

async function flip(path: string, at: number): Promise<void> {
  const bytes = await readFile(path)
  bytes[at] = (bytes[at] ?? 0) ^ 1
  await writeFile(path, bytes)
}

function withSegment(
  carried: Carried,
  change: (segment: ArchiveMetadata['segments'][number], index: number) => object,
): Carried {
  const segments = carried.metadata.segments.map((segment, index) => {
    return { ...segment, ...change(segment, index) }
  })
  return { ...carried, metadata: { ...carried.metadata, segments } }
}

function withHeld(
  carried: Carried,
  change: (layer: IndexedLayer) => Partial<IndexedLayer>,
): Carried {
  return { ...carried, held: carried.held.map((layer) => ({ ...layer, ...change(layer) })) }
}

const baseOf = ({ archive }: Carried): string => join(dirname(archive), 'base', 'a.tar.xz')

// what is wrong, how it is made, the code, the message
const DAMAGES: [string, Damage, RegExp, RegExp | string][] = [
  [
    'a byte of the archive',
    async (it) => {
      await flip(it.archive, 100_000)
      return it
    },
    /MISMATCH|BAD_ARCHIVE/,
    /sha256: got |corrupt|decompress/,
  ],
  [
    'a byte of the last segment',
    async (it) => {
      await flip(it.archive, it.metadata.archive.sizeBytes - 4200)
      return it
    },
    /MISMATCH|BAD_ARCHIVE/,
    /sha256: got |corrupt|decompress/,
  ],
  [
    'a byte of the earlier archive',
    async (it) => {
      await flip(baseOf(it), 100_000)
      return it
    },
    /MISMATCH|BAD_ARCHIVE/,
    /sha256: got |corrupt|decompress/,
  ],
  [
    'an archive that is cut off',
    async (it) => {
      await writeFile(it.archive, (await readFile(it.archive)).subarray(0, -100))
      return it
    },
    /MISMATCH|BAD_ARCHIVE/,
    /sha256: got |corrupt|decompress/,
  ],
  [
    'the sha256 of a segment',
    (it) => withSegment(it, () => ({ sha256: '0'.repeat(64) })),
    /MISMATCH/,
    'want 000',
  ],
  [
    'the digest of an earlier layer',
    (it) =>
      withHeld(it, ({ digest: own }) =>
        own === sha256(BASE) ? { segment: otherSegment(it) } : {},
      ),
    /MISMATCH/,
    /fewer|more|check a layer/,
  ],
  [
    'fewer bytes of tar than saved',
    (it) =>
      withSegment(it, ({ tarSizeBytes }, n) => ({
        tarSizeBytes: tarSizeBytes + (n === it.metadata.segments.length - 1 ? 512 : 0),
      })),
    /TRUNCATED_TAR/,
    'read segments: got fewer bytes',
  ],
  [
    'more bytes of tar than saved',
    (it) =>
      withSegment(it, ({ tarSizeBytes }, n) => ({
        tarSizeBytes: tarSizeBytes - (n === it.metadata.segments.length - 1 ? 1 : 0),
      })),
    /MISMATCH/,
    'read segments: got more bytes',
  ],
  [
    'another image in the metadata',
    (it) => ({ ...it, metadata: { ...it.metadata, images: [] } }),
    /MISMATCH/,
    'check images: got ',
  ],
]

function otherSegment({ held }: Carried): IndexedLayer['segment'] {
  const other = held.find((layer) => layer.digest === sha256(TOP))
  if (!other) throw new Error('the layer is not held')
  return other.segment
}

for (const compressor of COMPRESSORS) {
  for (const [what, damage, code, message] of DAMAGES) {
    t.test(`assembleTar: ${compressor.name}: ${what}: the engine never gets the end`, async (t) => {
      const carried = await damage(await carry(t, 'oci', true))
      const { engine, path } = startSink(t)
      const options = { ...OPTIONS, decompressors: readers(compressor) }
      const assembling = assembleTar(assembly(carried, []), options, { start: () => engine })
      const error: unknown = await assembling.catch((thrown: unknown) => thrown)
      t.match(error, { code, message })
      await t.rejects(engine.exited, { code: 'INTERRUPTED' })
      const got = await readFile(path).catch(() => Buffer.alloc(0))
      t.ok(got.length <= carried.tar.length - MIB, `${got.length} of ${carried.tar.length} bytes`)
    })
  }
}

t.test('assembleTar: an engine that fails is told', async (t) => {
  const carried = await carry(t, 'oci', false)
  for (const script of [
    'exit 1',
    'read -r _; echo full >&2; exit 1',
    'while read -rn 9999 _; do :; done; exit 1',
  ]) {
    const engine = startChild('sh', ['-c', script], {
      toError: (stderr) => new ToolError('ENGINE_FAILED', stderr),
    })
    engine.stdout.resume()
    await t.rejects(assembleTar(assembly(carried, []), OPTIONS, { start: () => engine }), {
      code: 'ENGINE_FAILED',
    })
  }
})

t.test('assembleTar: told to stop', async (t) => {
  const carried = await carry(t, 'oci', false)
  const { engine } = startSink(t)
  const options = { ...OPTIONS, signal: AbortSignal.abort() }
  await t.rejects(assembleTar(assembly(carried, []), options, { start: () => engine }), {
    code: 'INTERRUPTED',
  })
})

for (const compressor of COMPRESSORS) {
  t.test(`verifyLayers: ${compressor.name}: layers of other archives`, async (t) => {
    const { held } = await carry(t, 'podman', false)
    const options = { ...OPTIONS, decompressors: readers(compressor) }
    t.equal(held.length, 2)
    await t.resolves(verifyLayers(held, options))
    await t.resolves(verifyLayers(held.toReversed(), options))
    const [first, second] = held
    if (!first || !second) throw new Error('there are no layers')
    const wrong = { ...first, digest: second.digest }
    await t.rejects(verifyLayers([wrong, second], options), {
      code: 'MISMATCH',
      message: `check a layer in "${first.archive}": got ${first.digest}, want ${second.digest}`,
    })
    for (const [change, code] of [
      [-1, 'MISMATCH'],
      [1, 'TRUNCATED_TAR'],
    ] as const) {
      const sized = { ...first, sizeBytes: first.sizeBytes + change }
      await t.rejects(verifyLayers([sized], options), { code })
    }
    await flip(first.archive, first.segment.offsetBytes + 1000)
    await t.rejects(verifyLayers([second, first], options), { code: 'MISMATCH' })
    await t.resolves(verifyLayers([second], options))
  })
}
