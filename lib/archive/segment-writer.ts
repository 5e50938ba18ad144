// Segments into one archive file: each is compressed by a child of its own,
// several at a time, and written in the order of the tar. Of a child that is not
// yet to be written some MiB of output are kept, and then it waits, with its input
// in its own memory: so nothing is spooled, and all processors are busy where two
// layers meet.
import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { availableParallelism } from 'node:os'

import type { Coding } from '../codec/formats.ts'
import type { Compressors } from '../codec/programs.ts'
import { interrupted, isInterruption, toToolError } from '../core/errors.ts'
import { readSegment, type IndexedLayer } from '../delivery/layer-index.ts'
import type { Segment } from '../delivery/metadata.ts'
import type { Task } from '../io/child.ts'
import { verifyLayers } from './assembler.ts'
import { reserveCpus, releaseCpus, createSemaphore } from './cpu-slots.ts'
import { MatchFailed } from './layer-match.ts'
import { openSegment } from './segment-compressor.ts'

/** How to compress. */
export interface CompressOptions extends Compressors {
  readonly coding: Coding
  readonly threads: number | undefined
  readonly signal: AbortSignal
}

/** A segment that tar bytes are written to. */
export interface OpenSegment {
  write(bytes: Buffer): Promise<void>
  /** @param layerDigest - of the layer that it is, if it is one */
  close(layerDigest?: string): Promise<void>
}

/** An archive as it grows. */
export interface SegmentWriter {
  /** Begins a segment, of a layer of that size where it is one; one at a time. */
  begin(layerBytes: number | undefined): Promise<OpenSegment>
  /** Takes a segment from another archive, once it was found to hold that layer. */
  copy(layer: IndexedLayer): void
  /** Waits until all is written. @returns the segments in their order, and what they are together. */
  finish(): Promise<{ segments: Segment[]; sizeBytes: number; sha256: string }>
  /** Ends what is read of other archives, and waits for its end; then nothing more is written of them. */
  end(): Promise<void>
  /** Rejects where writing failed. */
  readonly failed: Promise<never>
  /** Bytes written so far. */
  readonly sizeBytes: number
}

// What lies between layers is soon done, but for being written in its turn.
const MAX_BETWEEN = 8

/**
 * @param handle - of an empty file
 * @param children - hears of the children that are started
 */
export function createSegmentWriter(
  handle: FileHandle,
  children: Task[],
  options: CompressOptions,
): SegmentWriter {
  const threads = options.threads ?? availableParallelism()
  // A layer may begin once there is a processor free for it.
  const forLayers = createSemaphore(threads)
  const forOthers = createSemaphore(MAX_BETWEEN)
  const archive = createHash('sha256')
  const segments: Segment[] = []
  const failure = Promise.withResolvers<never>()
  failure.promise.catch(() => {})
  let sizeBytes = 0
  let tarOffsetBytes = 0
  let written: Promise<unknown> = Promise.resolve()
  // Not among the children: whoever waits for those must not wait for their turn.
  const stop = new AbortController()
  const signal = AbortSignal.any([options.signal, stop.signal])
  let copying: Promise<unknown> = Promise.resolve()

  async function append(
    chunks: AsyncIterable<Buffer>,
    describe: () => Promise<{ tarSizeBytes: number; layerDigest?: string | undefined }>,
  ): Promise<void> {
    const hash = createHash('sha256')
    const offsetBytes = sizeBytes
    for await (const chunk of chunks) {
      hash.update(chunk)
      archive.update(chunk)
      sizeBytes += chunk.length
      await handle.writeFile(chunk)
    }
    const { tarSizeBytes, layerDigest } = await describe()
    const segment = {
      offsetBytes,
      sizeBytes: sizeBytes - offsetBytes,
      sha256: hash.digest('hex'),
      tarOffsetBytes,
      tarSizeBytes,
      ...(layerDigest !== undefined && { layerDigest }),
    }
    segments.push(segment)
    if (layerDigest !== undefined)
      options.verified.add(verifiedKey({ digest: layerDigest, segment }))
    tarOffsetBytes += tarSizeBytes
  }
  function enqueue(...args: Parameters<typeof append>): void {
    written = written.then(() => append(...args))
    written.catch(failure.reject)
  }

  return {
    failed: failure.promise,
    get sizeBytes() {
      return sizeBytes
    },
    async begin(layerBytes) {
      const semaphore = layerBytes === undefined ? forOthers : forLayers
      const taking = reserveCpus(semaphore, layerBytes, threads, options)
      const held = await Promise.race([taking, failure.promise])
      const segment = openSegment(layerBytes, children, options)
      // What lies between layers holds its place until it is written, and with it
      // the small layers that are done but wait for their turn are few.
      if (layerBytes !== undefined) void segment.done.then(held.end)
      const closed = Promise.withResolvers<{
        tarSizeBytes: number
        layerDigest?: string | undefined
      }>()
      const isTold = options.coding.codec === 'xz'
      const output = isTold ? releaseCpus(segment.output, held) : segment.output
      enqueue(output, () => {
        held.end()
        return closed.promise
      })
      let tarSizeBytes = 0
      return {
        write(bytes) {
          tarSizeBytes += bytes.length
          return segment.write(bytes)
        },
        close(layerDigest) {
          closed.resolve({ tarSizeBytes, layerDigest })
          return segment.end()
        },
      }
    },
    copy(layer) {
      const { digest: layerDigest, segment } = layer
      const verify = (): Promise<void> => {
        const verifying = verifyCopied(layer, { ...options, signal })
        copying = verifying.catch(() => {})
        return verifying
      }
      enqueue(copied(layer, verify, signal), async () => ({
        tarSizeBytes: segment.tarSizeBytes,
        layerDigest,
      }))
    },
    async finish() {
      await written
      return { segments, sizeBytes, sha256: archive.digest('hex') }
    },
    async end() {
      stop.abort()
      await copying
    },
  }
}

// The same compressed bytes are the same layer: those that this run has written
// or decompressed need not be again.
function verifiedKey({ digest, segment }: Pick<IndexedLayer, 'digest' | 'segment'>): string {
  return `${segment.sha256} ${digest}`
}

// Another archive's metadata may be wrong. To decompress a layer costs little
// beside compressing it, and this archive can be made without it.
async function verifyCopied(layer: IndexedLayer, options: CompressOptions): Promise<void> {
  if (options.verified.has(verifiedKey(layer))) return
  await verifyLayers([layer], { ...options, onProgress: () => {} })
  options.verified.add(verifiedKey(layer))
}

async function* copied(
  { archive, segment }: IndexedLayer,
  verify: () => Promise<void>,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  try {
    if (signal.aborted) throw interrupted()
    await verify()
    for await (const chunk of readSegment(archive, segment)) {
      if (signal.aborted) throw interrupted()
      yield chunk
    }
  } catch (error) {
    const reason = toToolError(error)
    if (!reason || isInterruption(reason)) throw error
    throw new MatchFailed(archive, `reuse a layer of "${archive}": ${reason.message}`)
  }
}
