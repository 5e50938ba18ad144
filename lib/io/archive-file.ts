// The bytes of archives, by range. What reads an archive gets them from an `ArchiveFile`; only
// `archiveAt` knows how they lie on the disk.
import { createHash } from 'node:crypto'
import { createReadStream, type ReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'

import { interrupted } from '../core/errors.ts'

/** Some bytes of an archive. */
export interface ByteRange {
  readonly offsetBytes: number
  readonly sizeBytes: number
}

/** Reads an archive at any place. */
export interface ArchiveReader {
  /** @returns these bytes; fewer if the archive ends before */
  read(offsetBytes: number, sizeBytes: number): Promise<Buffer>
  close(): Promise<void>
}

/** One archive. */
export interface ArchiveFile {
  /** For messages. */
  readonly path: string
  /** @returns its size now, in bytes */
  size(): Promise<number>
  /**
   * @param range - the part to read; without it all, up to the end that the archive has when
   *   the read gets there
   */
  stream(range?: ByteRange): AsyncIterable<Buffer>
  open(): Promise<ArchiveReader>
}

/** A part of an archive. */
export interface ArchiveRange extends ByteRange {
  readonly file: ArchiveFile
}

/** @returns the archive whose bytes are in one file */
export function archiveAt(path: string): ArchiveFile {
  return {
    path,
    size: async () => (await stat(path)).size,
    stream: (range) => streamFile(path, range),
    open: () => openFile(path),
  }
}

/** @returns the range that covers a whole archive */
export async function wholeArchive(file: ArchiveFile): Promise<ArchiveRange> {
  return { file, offsetBytes: 0, sizeBytes: await file.size() }
}

/** @returns the first `sizeBytes` bytes of a range, or all of it if it is shorter */
export async function readStart(range: ArchiveRange, sizeBytes: number): Promise<Buffer> {
  const reader = await range.file.open()
  try {
    return await reader.read(range.offsetBytes, Math.min(sizeBytes, range.sizeBytes))
  } finally {
    await reader.close()
  }
}

/**
 * @returns the sha256 of an archive, in hex
 * @throws INTERRUPTED if the signal is aborted
 */
export async function hashArchive(file: ArchiveFile, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(file.stream(), hash, { signal }).catch((error: unknown) => {
    throw signal.aborted ? interrupted() : error
  })
  return hash.digest('hex')
}

// Each read goes through the thread pool. With Node's default of 64 KiB, this takes a
// tenth of the time that this process spends on a verification.
const CHUNK_BYTES = 256 * 1024

/** @returns the bytes of a file, as {@link ArchiveFile.stream} */
export function streamFile(path: string, range?: ByteRange): ReadStream {
  const { offsetBytes: start = 0, sizeBytes = Infinity } = range ?? {}
  return createReadStream(path, { start, end: start + sizeBytes - 1, highWaterMark: CHUNK_BYTES })
}

async function openFile(path: string): Promise<ArchiveReader> {
  const file = await open(path)
  return {
    close: () => file.close(),
    async read(offsetBytes, sizeBytes) {
      const buffer = Buffer.alloc(sizeBytes)
      let done = 0
      while (done < sizeBytes) {
        const { bytesRead } = await file.read(buffer, done, sizeBytes - done, offsetBytes + done)
        if (bytesRead === 0) break
        done += bytesRead
      }
      return buffer.subarray(0, done)
    },
  }
}
