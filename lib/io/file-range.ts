// Reads files, or parts of files such as a segment of an archive.
import { createHash } from 'node:crypto'
import { createReadStream, type ReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'

import { interrupted } from '../core/errors.ts'

/** A part of a file. */
export interface FileRange {
  readonly path: string
  readonly offsetBytes: number
  readonly sizeBytes: number
}

/** @returns the range that covers a whole file */
export async function wholeFile(path: string): Promise<FileRange> {
  return { path, offsetBytes: 0, sizeBytes: (await stat(path)).size }
}

// Each read goes through the thread pool. With Node's default of 64 KiB, this takes a
// tenth of the time that this process spends on a verification.
const CHUNK_BYTES = 256 * 1024

/**
 * @param range - the part to read; without it the whole file, up to the end that the file
 *   has when the read gets there
 * @returns a stream of the bytes
 */
export function streamFile(path: string, range?: Omit<FileRange, 'path'>): ReadStream {
  const { offsetBytes: start = 0, sizeBytes = Infinity } = range ?? {}
  return createReadStream(path, { start, end: start + sizeBytes - 1, highWaterMark: CHUNK_BYTES })
}

/**
 * @returns the sha256 of a file, in hex
 * @throws INTERRUPTED if the signal is aborted
 */
export async function hashFile(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(streamFile(path), hash, { signal }).catch((error: unknown) => {
    throw signal.aborted ? interrupted() : error
  })
  return hash.digest('hex')
}

/** @returns the first `sizeBytes` bytes of a range, or all of it if it is shorter */
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
