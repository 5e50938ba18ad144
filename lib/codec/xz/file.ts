// Finds the .xz streams in a part of a file. It reads the part backwards, because the size
// of a stream is in its footer and index.
import { open, type FileHandle } from 'node:fs/promises'
import { basename } from 'node:path'

import type { FileRange } from '../../io/file-range.ts'
import { badXz } from './error.ts'
import { readLayout, type XzSource, type XzStream } from './layout.ts'

// One read of this size gets many small streams.
const WINDOW_BYTES = 64 * 1024

/**
 * @param range - a part of a file that holds whole streams
 * @returns the streams, in the order of the file
 * @throws BAD_ARCHIVE if the range holds anything else
 */
export async function readStreams({ path, ...range }: FileRange): Promise<XzStream[]> {
  const archive = basename(path)
  const file = await open(path)
  try {
    return await readLayout({ archive, ...range, read: createReader(file, archive) })
  } finally {
    await file.close()
  }
}

// Most reads are for the bytes just before those of the last read, so this reader keeps a
// window of bytes that ends with the wanted ones.
function createReader(file: FileHandle, archive: string): XzSource['read'] {
  let window = Buffer.alloc(0)
  let start = 0
  return async (offsetBytes, sizeBytes) => {
    const end = offsetBytes + sizeBytes
    if (offsetBytes < start || end > start + window.length) {
      start = Math.min(offsetBytes, Math.max(0, end - WINDOW_BYTES))
      window = await readAll(file, start, end - start, archive)
    }
    return window.subarray(offsetBytes - start, end - start)
  }
}

async function readAll(
  file: FileHandle,
  offsetBytes: number,
  sizeBytes: number,
  archive: string,
): Promise<Buffer<ArrayBuffer>> {
  const buffer = Buffer.alloc(sizeBytes)
  for (let done = 0; done < sizeBytes;) {
    const { bytesRead } = await file.read(buffer, done, sizeBytes - done, offsetBytes + done)
    if (bytesRead === 0) throw badXz({ archive, offsetBytes: offsetBytes + done }, 'it ends here')
    done += bytesRead
  }
  return buffer
}
