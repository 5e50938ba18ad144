// A part of a file, such as a segment of an archive.
import { open, stat } from 'node:fs/promises'

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
