// zstd without any program: what comes is cut into pieces, and each becomes a frame
// by itself, so that all processors have work: the runtime's own way to use several
// loses data. What a piece becomes depends on nothing but its bytes.
import { addAbortSignal } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { constants, createZstdCompress } from 'node:zlib'

import type { Task } from '../../io/child.ts'
import { rechunk } from '../../io/rechunk.ts'
import { fitThreads } from '../memory.ts'
import { startTransform } from '../../io/in-process-child.ts'

/** How {@link startZstdEncoder} compresses. */
export interface ZstdOptions {
  /** 1 to 22. */
  readonly level: number
  /** How many pieces at a time; undefined: one for each processor. */
  readonly threads: number | undefined
  /** How far back a match may lie, as a power of two, in a piece: 10 to 31. */
  readonly windowLog: number
}

/** @returns a child that turns bytes into zstd frames, one after the other. */
export function startZstdEncoder(options: ZstdOptions): Task {
  const stop = new AbortController()
  const child = startTransform((chunks) => encode(chunks, options, stop.signal))
  return {
    ...child,
    kill(signal) {
      // A piece takes a while; nobody is to wait for its end.
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
    frame.catch(() => {}) // told in its turn
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
  // Nothing at all is a frame, too.
  if (isEmpty) begin(Buffer.alloc(0))
  for (const frame of frames) yield await frame
}

// All of a piece is within reach of a window of as much, which is the most that
// zstd takes when it is not asked for more. Smaller pieces miss what repeats from
// one library to the next; larger ones leave processors idle, and each takes memory:
// of itself, of as much again, and of some 50 MiB.
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

// Files are read and written by the same threads, between two parts of this size.
const OUTPUT_BYTES = 128 * 1024
