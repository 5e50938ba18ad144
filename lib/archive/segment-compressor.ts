// Compresses one segment. A layer that is already compressed, as in a containerd store, is
// stored without compression: it would take time and save nothing.
import { keepOutput } from '../io/child.ts'
import type { Task } from '../io/task.ts'
import type { Coding } from '../codec/formats.ts'
import { PIXZ_AHEAD_BYTES, startCompressor } from '../codec/compress.ts'
import type { Compressor } from '../codec/programs.ts'
import { isCompressed, storeXz, storeZstd } from '../codec/stored.ts'
import { startTransform } from '../io/in-process-child.ts'

/** A running compression of a segment. */
export interface SegmentCompression {
  write(bytes: Buffer): Promise<void>
  end(): Promise<void>
  /** The compressed bytes. They end without an error only if the compression succeeded. */
  readonly output: AsyncIterable<Buffer>
  /**
   * Resolves when the compression uses no processor any more, whether or not it succeeded. Its
   * output may still wait to be read.
   */
  readonly done: Promise<void>
}

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

/**
 * @param sizeBytes - the size of the layer in the segment; undefined for what is between layers
 * @param children - the list to which the started child is added
 */
export function openSegment(
  sizeBytes: number | undefined,
  children: Task[],
  options: SegmentOptions,
): SegmentCompression {
  const started = Promise.withResolvers<Task>()
  const { codec } = options.coding
  let child: Task | undefined
  let head: Buffer = Buffer.alloc(0)
  // The last write. Writes are taken in their order.
  let taken: Promise<void> = Promise.resolve()

  function begin(): Task {
    child = isCompressed(head)
      ? startTransform(codec === 'xz' ? storeXz : storeZstd)
      : startCompressor(options.compressor, { ...options, sizeBytes })
    children.push(child)
    child.stdin.on('error', () => {}) // each write tells its own
    started.resolve({ ...child, stdout: keepOutput(child, KEPT_BYTES) })
    return child
  }
  async function give({ stdin }: Task, bytes: Buffer): Promise<void> {
    taken = write(stdin, bytes)
    taken.catch(() => {})
    if (stdin.writableLength > WAITING_BYTES || !stdin.writable) await taken
  }
  async function* compressed(): AsyncGenerator<Buffer> {
    const { stdout, exited } = await started.promise
    yield* stdout as AsyncIterable<Buffer>
    await exited
    // A compressor that ended well may have left some of its input.
    await taken
    if (codec === 'xz') yield XZ_PADDING
  }
  if (sizeBytes === undefined) begin()
  return {
    output: compressed(),
    done: started.promise.then(({ exited }) => exited).catch(() => {}),
    async write(bytes) {
      if (child) return give(child, bytes)
      head = Buffer.concat([head, bytes])
      if (head.length >= HEAD_BYTES) await give(begin(), head)
    },
    async end() {
      if (!child) await give(begin(), head)
      child?.stdin.end()
    },
  }
}

const XZ_PADDING = Buffer.alloc(PIXZ_AHEAD_BYTES)

function write(stdin: Task['stdin'], bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    stdin.write(bytes, (error) => (error ? reject(error) : resolve()))
  })
}
