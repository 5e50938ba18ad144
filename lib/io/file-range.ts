// Files and parts of them, such as a segment of an archive.
import { createHash } from 'node:crypto'
import { createReadStream, type ReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'

import { interrupted } from '../core/errors.ts'

/** Where some bytes lie. */
export interface FileRange {
  readonly path: string
  readonly offsetBytes: number
  readonly sizeBytes: number
}

/** @returns all of a file */
export async function wholeFile(path: string): Promise<FileRange> {
  return { path, offsetBytes: 0, sizeBytes: (await stat(path)).size }
}

// Each read is a turn of the thread pool: at the 64 KiB that are usual they are
// a tenth of what a verification takes of this process's time.
const CHUNK_BYTES = 256 * 1024

/**
 * @param range - what to read of it; without it all, up to the end that it has by then
 * @returns the bytes of a file
 */
export function streamFile(path: string, range?: Omit<FileRange, 'path'>): ReadStream {
  const { offsetBytes: start = 0, sizeBytes = Infinity } = range ?? {}
  return createReadStream(path, { start, end: start + sizeBytes - 1, highWaterMark: CHUNK_BYTES })
}

/**
 * @returns the sha256 of a file, in hex
 * @throws INTERRUPTED
 */
export async function hashFile(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(streamFile(path), hash, { signal }).catch((error: unknown) => {
    throw signal.aborted ? interrupted() : error
  })
  return hash.digest('hex')
}

/** @returns the first bytes of a range, fewer where it has no more */
export async function readStart(range: FileRange, sizeBytes: number): Promise<Buffer> {
  const length = Math.min(sizeBytes, range.sizeBytes)
  const file = await open(range.path)
  try {
    const { bytesRead, buffer } = await file.read(
      Buffer.alloc(length),
      0,
      length,
      range.offsetBytes,
    )
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}
