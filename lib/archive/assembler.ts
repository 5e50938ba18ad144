// A tar from segments: those of an archive that are needed, and layers out of
// earlier archives in place of those that an increment lacks. One decompressor
// reads them all, one after the other, as if they were one archive.
import { hexOf, toDigest } from '../image/digest.ts'
import { createHash } from 'node:crypto'
import { pipeline } from 'node:stream/promises'

import { checkImages } from './check.ts'
import type { ArchiveMetadata, Segment } from '../delivery/metadata.ts'
import { createByteReader, type ByteReader } from '../io/byte-reader.ts'
import { allWork, withChildren, type Task } from '../io/child.ts'
import type { Decompressors } from '../codec/programs.ts'
import { startDecompressor } from '../codec/decompress.ts'
import { readImages } from '../image/docker-archive.ts'
import { sendTar } from '../io/withhold-tail.ts'
import { ToolError } from '../core/errors.ts'
import { COPY_WRONG_METADATA } from '../core/hints.ts'
import { readSegment, type IndexedLayer } from '../delivery/layer-index.ts'
import type { RestoredLayer } from '../delivery/layer-plan.ts'
import { memberHeader, padding } from '../tar/header.ts'
import { TarDigester, type TarDigest } from '../tar/digest.ts'

/** What a tar is made of. */
export interface Assembly {
  /** Path of the archive. */
  readonly archive: string
  readonly metadata: ArchiveMetadata
  /** Layers of the archive that are not read, by digest. */
  readonly excluded: ReadonlySet<string>
  readonly restored: readonly RestoredLayer[]
}

/** How to read. */
export interface AssembleOptions {
  readonly decompressors: Decompressors
  readonly threads: number | undefined
  readonly onProgress: (progress: { archiveBytes: number; tarBytes: number; share: number }) => void
  readonly signal: AbortSignal
  /** Awaited when all is verified, before an engine gets the end. */
  readonly release?: () => Promise<void>
}

interface Part {
  readonly archive: string
  readonly segment: Segment
}

/**
 * Reads what is needed of an archive, and sends it on where there is an engine:
 * the end of it once every segment and every layer that was read is what it
 * should be, and the images are those of the metadata. What follows the end of the
 * tar stays behind.
 *
 * @returns the archive's own tar
 * @throws MISMATCH, BAD_ARCHIVE, BAD_TAR, BAD_IMAGE, and how the engine failed
 */
export async function assembleTar(
  assembly: Assembly,
  options: AssembleOptions,
  startEngine?: () => Task,
): Promise<TarDigest> {
  const { metadata, archive, excluded, restored } = assembly
  const [skipped, own] = divide(metadata.segments, excluded)
  const absent = new Map(
    skipped.map((segment) => [segment.tarOffsetBytes, hexOf(segment.layerDigest ?? '')]),
  )
  const digester = new TarDigester({ normalize: false, md5: false, absent, toEnd: true })

  async function* assemble(bytes: ByteReader): AsyncGenerator<Buffer> {
    for (const { layer, external } of restored) {
      yield memberHeader(external.path, layer.sizeBytes)
      yield* digestLayer(layer, bytes)
      yield padding(layer.sizeBytes)
    }
    for (const { tarSizeBytes } of own) {
      for await (const chunk of bytes.readExactly(tarSizeBytes)) {
        for (const piece of digester.write(chunk)) yield piece.bytes
      }
    }
  }
  let digest: TarDigest | undefined
  const verify = async (): Promise<void> => {
    digest = digester.end()
    checkImages(readImages(digest, metadata.requires), metadata)
    await options.release?.()
  }
  const parts = [
    ...restored.map(({ layer }) => layer),
    ...own.map((segment) => ({ archive, segment })),
  ]
  await decompress(parts, options, { startEngine, assemble, verify })
  if (!digest) throw new Error('the tar was not read to its end')
  return digest
}

/**
 * Reads layers out of archives.
 *
 * @throws MISMATCH or BAD_ARCHIVE where one is not what it should be
 */
export async function verifyLayers(
  layers: readonly IndexedLayer[],
  options: AssembleOptions,
): Promise<void> {
  async function* assemble(bytes: ByteReader): AsyncGenerator<Buffer> {
    for (const layer of layers) yield* digestLayer(layer, bytes)
  }
  await decompress(layers, options, { assemble, verify: async () => {} })
}

async function decompress(
  parts: readonly Part[],
  { decompressors, threads, signal, onProgress }: AssembleOptions,
  {
    startEngine,
    assemble,
    verify,
  }: {
    startEngine?: (() => Task) | undefined
    assemble: (bytes: ByteReader) => AsyncGenerator<Buffer>
    verify: () => Promise<void>
  },
): Promise<void> {
  const ranges = parts.map(({ archive, segment }) => ({ path: archive, ...segment }))
  const decompressor = await startDecompressor(ranges, { decompressors, threads })
  const engine = startEngine?.()
  const total = parts.reduce((sum, { segment }) => sum + segment.sizeBytes, 0)
  let archiveBytes = 0
  let tarBytes = 0

  async function* compressed(): AsyncGenerator<Buffer> {
    for (const { archive, segment } of parts) {
      for await (const chunk of readSegment(archive, segment)) {
        archiveBytes += chunk.length
        yield chunk
      }
    }
  }
  async function* counted(): AsyncGenerator<Buffer> {
    try {
      for await (const chunk of assemble(taker)) {
        tarBytes += chunk.length
        onProgress({ archiveBytes, tarBytes, share: Math.min(1, archiveBytes / total) })
        yield chunk
      }
      await taker.end()
    } finally {
      // A child has not ended for Node while somebody may still want its output.
      decompressor.stdout.destroy()
    }
  }
  const taker = createByteReader(decompressor.stdout)
  const reading = pipeline(compressed, decompressor.stdin)
  const verifyAll = async (): Promise<void> => {
    await Promise.all([reading, decompressor.exited])
    await verify()
  }
  const sending = engine ? sendTar(counted(), engine, verifyAll) : drain(counted(), verifyAll)
  const children = engine ? [decompressor, engine] : [decompressor]
  await withChildren(children, signal, allWork(reading, sending))
}

async function drain(chunks: AsyncIterable<Buffer>, verify: () => Promise<void>): Promise<void> {
  for await (const _ of chunks) void _
  await verify()
}

async function* digestLayer(layer: IndexedLayer, bytes: ByteReader): AsyncGenerator<Buffer> {
  const hash = createHash('sha256')
  for await (const chunk of bytes.readExactly(layer.sizeBytes)) {
    hash.update(chunk)
    yield chunk
  }
  const got = toDigest(hash.digest('hex'))
  if (got === layer.digest) return
  throw new ToolError(
    'MISMATCH',
    `check a layer in "${layer.archive}": got ${got}, want ${layer.digest}`,
    { hint: COPY_WRONG_METADATA },
  )
}

function divide(
  segments: readonly Segment[],
  excluded: ReadonlySet<string>,
): [skipped: Segment[], own: Segment[]] {
  const isSkipped = ({ layerDigest: digest }: Segment): boolean =>
    digest !== undefined && excluded.has(digest)
  return [segments.filter(isSkipped), segments.filter((segment) => !isSkipped(segment))]
}
