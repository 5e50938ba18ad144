// The .xz streams in a part of a file, found by reading it backwards.
import { open, type FileHandle } from 'node:fs/promises'
import { basename } from 'node:path'

import type { FileRange } from '../../io/file-range.ts'
import { badXz } from './error.ts'
import { readLayout, type XzSource, type XzStream } from './layout.ts'

// Small streams are many to a read.
const WINDOW_BYTES = 64 * 1024

/**
 * @param range - whole streams
 * @returns the streams in their order
 * @throws BAD_ARCHIVE where it is anything else
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

// What is asked for is mostly right before what was asked for last.
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
