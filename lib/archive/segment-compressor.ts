// Compresses one segment. A layer that is already compressed, as in a containerd store, is
// stored without compression: it would take time and save nothing.
import { keepOutput } from '../io/child.ts'
import type { Task } from '../io/task.ts'
import type { Codec, Coding } from '../codec/formats.ts'
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

  function begin(): Task {
    child = isCompressed(head)
      ? startTransform(codec === 'xz' ? storeXz : storeZstd)
      : startCompressor(options.compressor, { ...options, sizeBytes })
    children.push(child)
    child.stdin.on('error', () => {}) // each write tells its own
    started.resolve({ ...child, stdout: keepOutput(child, KEPT_BYTES) })
    return child
  }
  if (sizeBytes === undefined) begin()
  return {
    output: compressed(started.promise, codec),
    done: started.promise.then(({ exited }) => exited).catch(() => {}),
    async write(bytes) {
      if (child) return write(child, bytes)
      head = Buffer.concat([head, bytes])
      if (head.length >= HEAD_BYTES) await write(begin(), head)
    },
    async end() {
      if (!child) await write(begin(), head)
      child?.stdin.end()
    },
  }
}

const XZ_PADDING = Buffer.alloc(PIXZ_AHEAD_BYTES)

async function* compressed(started: Promise<Task>, codec: Codec): AsyncGenerator<Buffer> {
  const { stdout, exited } = await started
  yield* stdout as AsyncIterable<Buffer>
  await exited
  if (codec === 'xz') yield XZ_PADDING
}

function write({ stdin }: Task, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    stdin.write(bytes, (error) => (error ? reject(error) : resolve()))
  })
}
