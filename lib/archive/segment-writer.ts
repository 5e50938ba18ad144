// Segments into one archive file: each is compressed by a child of its own,
// several at a time, and written in the order of the tar. Of a child that is not
// yet to be written some MiB of output are kept, and then it waits, with its input
// in its own memory: so nothing is spooled, and all processors are busy where two
// layers meet.
import type { Digest } from '../image/digest.ts'
import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { availableParallelism } from 'node:os'

import type { Coding } from '../codec/formats.ts'
import type { Compressors } from '../codec/programs.ts'
import { interrupted, isInterruption, toToolError } from '../core/errors.ts'
import { readSegment, type IndexedLayer } from '../delivery/layer-index.ts'
import type { Segment } from '../delivery/metadata.ts'
import type { Task } from '../io/child.ts'
import { createSemaphore, releaseCpus, reserveCpus, type Semaphore } from './cpu-slots.ts'
import { MatchFailed } from './layer-match.ts'
import { verifyLayers } from './layer-reader.ts'
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
  close(layerDigest?: Digest): Promise<void>
}

// What lies between layers is soon done, but for being written in its turn.
const MAX_BETWEEN = 8

/** What is known of a segment once its tar has gone past. */
interface TarPart {
  readonly tarSizeBytes: number
  readonly layerDigest?: Digest | undefined
}

/** An archive as it grows. */
export class SegmentWriter {
  readonly #handle: FileHandle
  readonly #children: Task[]
  readonly #options: CompressOptions
  readonly #threads: number
  // A layer may begin once there is a processor free for it.
  readonly #forLayers: Semaphore
  readonly #forOthers = createSemaphore(MAX_BETWEEN)
  readonly #archive = createHash('sha256')
  readonly #segments: Segment[] = []
  readonly #failure = Promise.withResolvers<never>()
  // Not among the children: whoever waits for those must not wait for their turn.
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  #sizeBytes = 0
  #tarOffsetBytes = 0
  #written: Promise<unknown> = Promise.resolve()
  #copying: Promise<unknown> = Promise.resolve()

  /**
   * @param handle - of an empty file
   * @param children - hears of the children that are started
   */
  constructor(handle: FileHandle, children: Task[], options: CompressOptions) {
    this.#handle = handle
    this.#children = children
    this.#options = options
    this.#threads = options.threads ?? availableParallelism()
    this.#forLayers = createSemaphore(this.#threads)
    this.#signal = AbortSignal.any([options.signal, this.#stop.signal])
    this.#failure.promise.catch(() => {})
  }

  /** Rejects if writing failed. */
  get failed(): Promise<never> {
    return this.#failure.promise
  }

  /** Bytes written so far. */
  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /**
   * Begins a segment; one at a time.
   *
   * @param layerBytes - size of the layer that it is; undefined for what lies between layers
   */
  async begin(layerBytes: number | undefined): Promise<OpenSegment> {
    const semaphore = layerBytes === undefined ? this.#forOthers : this.#forLayers
    const taking = reserveCpus(semaphore, layerBytes, this.#threads, this.#options)
    const reserved = await Promise.race([taking, this.failed])
    const segment = openSegment(layerBytes, this.#children, this.#options)
    // What lies between layers holds its place until it is written, and with it
    // the small layers that are done but wait for their turn are few.
    if (layerBytes !== undefined) void segment.done.then(reserved.end)
    const closed = Promise.withResolvers<TarPart>()
    const tellsProgress = this.#options.coding.codec === 'xz'
    const output = tellsProgress ? releaseCpus(segment.output, reserved) : segment.output
    this.#enqueue(output, () => {
      reserved.end()
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
  }

  /** Takes a segment from another archive, once it was found to hold that layer. */
  copy(layer: IndexedLayer): void {
    const verify = (): Promise<void> => {
      const verifying = verifyCopied(layer, { ...this.#options, signal: this.#signal })
      this.#copying = verifying.catch(() => {})
      return verifying
    }
    const part = { tarSizeBytes: layer.segment.tarSizeBytes, layerDigest: layer.digest }
    this.#enqueue(copied(layer, verify, this.#signal), async () => part)
  }

  /** Waits until all is written. @returns the segments in their order, and what they are together. */
  async finish(): Promise<{ segments: Segment[]; sizeBytes: number; sha256: string }> {
    await this.#written
    const sha256 = this.#archive.digest('hex')
    return { segments: this.#segments, sizeBytes: this.#sizeBytes, sha256 }
  }

  /** Ends what is read of other archives, and waits for its end; then nothing more is written of them. */
  async end(): Promise<void> {
    this.#stop.abort()
    await this.#copying
  }

  #enqueue(chunks: AsyncIterable<Buffer>, describe: () => Promise<TarPart>): void {
    this.#written = this.#written.then(() => this.#append(chunks, describe))
    this.#written.catch(this.#failure.reject)
  }

  async #append(chunks: AsyncIterable<Buffer>, describe: () => Promise<TarPart>): Promise<void> {
    const hash = createHash('sha256')
    const offsetBytes = this.#sizeBytes
    for await (const chunk of chunks) {
      hash.update(chunk)
      this.#archive.update(chunk)
      this.#sizeBytes += chunk.length
      await this.#handle.writeFile(chunk)
    }
    const { tarSizeBytes, layerDigest: digest } = await describe()
    const segment = {
      offsetBytes,
      sizeBytes: this.#sizeBytes - offsetBytes,
      sha256: hash.digest('hex'),
      tarOffsetBytes: this.#tarOffsetBytes,
      tarSizeBytes,
      ...(digest !== undefined && { layerDigest: digest }),
    }
    this.#segments.push(segment)
    if (digest !== undefined) this.#options.verified.add(verifiedKey({ digest, segment }))
    this.#tarOffsetBytes += tarSizeBytes
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
