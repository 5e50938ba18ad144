// The bundled zstd encoder. It cuts its input into pieces and compresses each into a frame
// of its own, so that all processors have work: the multithreading of Node's own zstd
// encoder loses data. A frame depends only on the bytes of its piece and the settings.
import { addAbortSignal } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { constants, createZstdCompress } from 'node:zlib'

import { startTransform } from '../../io/in-process-child.ts'
import { rechunk } from '../../io/rechunk.ts'
import type { Task } from '../../io/task.ts'
import { fitThreads } from '../memory.ts'

/** How {@link startZstdEncoder} compresses. */
export interface ZstdOptions {
  /** 1 to 22. */
  readonly level: number
  /** How many pieces to compress at a time; undefined: one for each processor. */
  readonly threads: number | undefined
  /** How far back a match may lie in a piece, as a power of two: 10 to 31. */
  readonly windowLog: number
}

/** @returns a task that turns bytes into zstd frames, one after the other. */
export function startZstdEncoder(options: ZstdOptions): Task {
  const stop = new AbortController()
  const child = startTransform((chunks) => encode(chunks, options, stop.signal))
  return {
    ...child,
    kill(signal) {
      // The compression of a piece takes a while; a killed task must not wait for its end.
      stop.abort()
      child.kill(signal)
    },
  }
}

async function* encode(
  chunks: AsyncIterable<Buffer>,
  options: ZstdOptions,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const threads = fitThreads(options.threads, PIECE_MEMORY_BYTES)
  const frames: Promise<Buffer>[] = []
  const begin = (piece: Buffer): void => {
    const frame = compress(piece, options, signal)
    frame.catch(() => {}) // the await of this frame reports the error
    frames.push(frame)
  }
  let isEmpty = true
  for await (const piece of rechunk(chunks, PIECE_BYTES)) {
    isEmpty = false
    const [first] = frames
    if (first && frames.length === threads) {
      yield await first
      void frames.shift()
    }
    begin(piece)
  }
  // Empty input becomes one empty frame.
  if (isEmpty) begin(Buffer.alloc(0))
  for (const frame of frames) yield await frame
}

// A piece is as large as the largest window that zstd decodes without an option, so a
// match may lie anywhere in it. Smaller pieces miss what repeats from one library to the
// next. Larger pieces leave processors idle. Each piece takes memory: twice its own size,
// and some 50 MiB.
const PIECE_BYTES = 128 * 1024 * 1024
const PIECE_MEMORY_BYTES = 2 * PIECE_BYTES + 50 * 1024 * 1024

function compress(
  piece: Buffer,
  { level, windowLog }: ZstdOptions,
  signal: AbortSignal,
): Promise<Buffer> {
  const encoder = createZstdCompress({
    chunkSize: OUTPUT_BYTES,
    pledgedSrcSize: piece.length,
    params: {
      [constants.ZSTD_c_compressionLevel]: level,
      [constants.ZSTD_c_windowLog]: windowLog,
      [constants.ZSTD_c_enableLongDistanceMatching]: 1,
      [constants.ZSTD_c_checksumFlag]: 1,
    },
  })
  addAbortSignal(signal, encoder).end(piece)
  return buffer(encoder)
}

// The threads that compress also read and write files, between two chunks of this size.
const OUTPUT_BYTES = 128 * 1024
