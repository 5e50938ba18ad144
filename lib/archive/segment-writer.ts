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
import type { Digest } from '../image/digest.ts'
import { archiveAt } from '../io/archive-file.ts'
import type { Task } from '../io/task.ts'
import { createSemaphore, releaseCpus, reserveCpus, type Semaphore } from './cpu-slots.ts'
import { MatchFailed } from './layer-match.ts'
import { verifyLayers } from './layer-reader.ts'
import { SegmentCompressor } from './segment-compressor.ts'

/** How to compress. */
export interface CompressOptions extends Compressors {
  readonly coding: Coding
  readonly threads: number | undefined
  readonly signal: AbortSignal
}

/** A segment that takes bytes of the tar. */
export interface OpenSegment {
  write(bytes: Buffer): Promise<void>
  /** @param layerDigest - of the layer that it is, if it is one */
  close(layerDigest?: Digest): Promise<void>
}

// What is between layers is soon compressed, and then waits to be written.
const MAX_BETWEEN = 8

/** What is known of a segment when its part of the tar has been read. */
interface TarPart {
  readonly tarSizeBytes: number
  readonly layerDigest?: Digest | undefined
}

/** Writes one archive, segment by segment. */
export class SegmentWriter {
  readonly #handle: FileHandle
  readonly #children: Task[]
  readonly #options: CompressOptions
  readonly #threads: number
  // A layer may begin when a processor is free.
  readonly #forLayers: Semaphore
  readonly #forOthers = createSemaphore(MAX_BETWEEN)
  readonly #archive = createHash('sha256')
  readonly #segments: Segment[] = []
  readonly #failure = Promise.withResolvers<never>()
  // Ends the verification of copied layers. It is not among the children, because these are
  // awaited, and the verification starts only when it is its turn.
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  #sizeBytes = 0
  #tarOffsetBytes = 0
  #written: Promise<unknown> = Promise.resolve()
  #copying: Promise<unknown> = Promise.resolve()

  /**
   * @param handle - an empty file
   * @param children - the list to which the started children are added
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

  /** The number of bytes written so far. */
  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /**
   * Begins a segment. The previous one must be closed.
   *
   * @param layerBytes - the size of the layer in the segment; undefined for what is between
   *   layers
   */
  async begin(layerBytes: number | undefined): Promise<OpenSegment> {
    const semaphore = layerBytes === undefined ? this.#forOthers : this.#forLayers
    const taking = reserveCpus(semaphore, layerBytes, this.#threads, this.#options)
    const reserved = await Promise.race([taking, this.failed])
    const segment = new SegmentCompressor(layerBytes, this.#children, this.#options)
    // A layer releases its processors when it is compressed. A segment between layers keeps its
    // place until it is written, which also limits how many finished small layers wait to be
    // written.
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

  /** Copies a segment from another archive, after it is verified that the segment is that layer. */
  copy(layer: IndexedLayer): void {
    const verify = (): Promise<void> => {
      const verifying = verifyCopied(layer, { ...this.#options, signal: this.#signal })
      this.#copying = verifying.catch(() => {})
      return verifying
    }
    const part = { tarSizeBytes: layer.segment.tarSizeBytes, layerDigest: layer.digest }
    this.#enqueue(copied(layer, verify, this.#signal), async () => part)
  }

  /**
   * Waits until all is written. @returns the segments in their order, and the size and sha256
   * of the archive
   */
  async finish(): Promise<{ segments: Segment[]; sizeBytes: number; sha256: string }> {
    await this.#written
    const sha256 = this.#archive.digest('hex')
    return { segments: this.#segments, sizeBytes: this.#sizeBytes, sha256 }
  }

  /**
   * Stops reading other archives, and waits for its end. After that, nothing more is copied
   * from them.
   */
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

// The same compressed bytes always hold the same layer. So layers that this run has written or
// decompressed are not decompressed again.
function verifiedKey({ digest, segment }: Pick<IndexedLayer, 'digest' | 'segment'>): string {
  return `${segment.sha256} ${digest}`
}

// The metadata of another archive may be wrong, so the layer is decompressed and checked. That
// is cheap compared with compressing it.
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
    for await (const chunk of readSegment(archiveAt(archive), segment)) {
      if (signal.aborted) throw interrupted()
      yield chunk
    }
  } catch (error) {
    const reason = toToolError(error)
    if (!reason || isInterruption(reason)) throw error
    throw new MatchFailed(archive, `reuse a layer of "${archive}": ${reason.message}`)
  }
}
