// Compresses one segment. A layer that is already compressed, as in a containerd store, is
// stored without compression: it would take time and save nothing.
import { PIXZ_AHEAD_BYTES, startCompressor } from '../codec/compress.ts'
import type { Coding } from '../codec/formats.ts'
import type { Compressor } from '../codec/programs.ts'
import { isCompressed, storeXz, storeZstd } from '../codec/stored.ts'
import { keepOutput } from '../io/child.ts'
import { startTransform } from '../io/in-process-child.ts'
import type { Task } from '../io/task.ts'

/** How to compress. */
export interface SegmentOptions {
  readonly compressor: Compressor
  readonly coding: Coding
  readonly threads: number | undefined
}

// Enough for the output of a small layer: its child ends, and does not hold up others.
const KEPT_BYTES = 4 * 1024 ** 2
// How many bytes may wait for a compressor to read them. The tar is read and digested meanwhile,
// and neither of the two has to be woken for each piece.
const WAITING_BYTES = 1024 ** 2
// The number of bytes that show how data is compressed.
const HEAD_BYTES = 4

/** Compresses the bytes of one segment. */
export class SegmentCompressor {
  /** The compressed bytes. They end without an error only if the compression succeeded. */
  readonly output: AsyncIterable<Buffer>
  /**
   * Resolves when the compression uses no processor any more, whether or not it succeeded. Its
   * output may still wait to be read.
   */
  readonly done: Promise<void>
  readonly #sizeBytes: number | undefined
  readonly #children: Task[]
  readonly #options: SegmentOptions
  readonly #started = Promise.withResolvers<Task>()
  #child: Task | undefined
  /** The first bytes, until they show how the segment is to be compressed. */
  #head: Buffer = Buffer.alloc(0)
  /** The last write. Writes are taken in their order. */
  #taken: Promise<void> = Promise.resolve()

  /**
   * @param sizeBytes - the size of the layer in the segment; undefined for what is between layers
   * @param children - the list to which the started child is added
   */
  constructor(sizeBytes: number | undefined, children: Task[], options: SegmentOptions) {
    this.#sizeBytes = sizeBytes
    this.#children = children
    this.#options = options
    this.output = this.#compressed()
    this.done = this.#started.promise.then(({ exited }) => exited).catch(() => {})
    if (sizeBytes === undefined) this.#begin()
  }

  async write(bytes: Buffer): Promise<void> {
    if (this.#child) return this.#give(this.#child, bytes)
    this.#head = Buffer.concat([this.#head, bytes])
    if (this.#head.length >= HEAD_BYTES) await this.#give(this.#begin(), this.#head)
  }

  async end(): Promise<void> {
    if (!this.#child) await this.#give(this.#begin(), this.#head)
    this.#child?.stdin.end()
  }

  #begin(): Task {
    const options = this.#options
    const child = isCompressed(this.#head)
      ? startTransform(options.coding.codec === 'xz' ? storeXz : storeZstd)
      : startCompressor(options.compressor, { ...options, sizeBytes: this.#sizeBytes })
    this.#child = child
    this.#children.push(child)
    child.stdin.on('error', () => {}) // each write tells its own
    this.#started.resolve({ ...child, stdout: keepOutput(child, KEPT_BYTES) })
    return child
  }

  async #give({ stdin }: Task, bytes: Buffer): Promise<void> {
    this.#taken = write(stdin, bytes)
    this.#taken.catch(() => {})
    if (stdin.writableLength > WAITING_BYTES || !stdin.writable) await this.#taken
  }

  async *#compressed(): AsyncGenerator<Buffer> {
    const { stdout, exited } = await this.#started.promise
    yield* stdout as AsyncIterable<Buffer>
    await exited
    // A compressor that ended well may have left some of its input.
    await this.#taken
    if (this.#options.coding.codec === 'xz') yield XZ_PADDING
  }
}

const XZ_PADDING = Buffer.alloc(PIXZ_AHEAD_BYTES)

function write(stdin: Task['stdin'], bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    stdin.write(bytes, (error) => (error ? reject(error) : resolve()))
  })
}
