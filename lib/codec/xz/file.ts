// Finds the .xz streams in a part of an archive. It reads the part backwards, because the size
// of a stream is in its footer and index.
import { basename } from 'node:path'

import type { ArchiveRange, ArchiveReader } from '../../io/archive-file.ts'
import { badXz } from './error.ts'
import { readLayout, type XzSource, type XzStream } from './layout.ts'

// One read of this size gets many small streams.
const WINDOW_BYTES = 64 * 1024

/**
 * @param range - a part of an archive that holds whole streams
 * @returns the streams, in the order of the archive
 * @throws BAD_ARCHIVE if the range holds anything else
 */
export async function readStreams({ file, ...range }: ArchiveRange): Promise<XzStream[]> {
  const archive = basename(file.path)
  const reader = await file.open()
  try {
    return await readLayout({ archive, ...range, read: createWindow(reader, archive) })
  } finally {
    await reader.close()
  }
}

// Most reads are for the bytes just before those of the last read, so this reader keeps a
// window of bytes that ends with the wanted ones.
function createWindow(reader: ArchiveReader, archive: string): XzSource['read'] {
  let window: Buffer = Buffer.alloc(0)
  let start = 0
  return async (offsetBytes, sizeBytes) => {
    const end = offsetBytes + sizeBytes
    if (offsetBytes < start || end > start + window.length) {
      start = Math.min(offsetBytes, Math.max(0, end - WINDOW_BYTES))
      window = await reader.read(start, end - start)
      const endBytes = start + window.length
      if (endBytes < end) throw badXz({ archive, offsetBytes: endBytes }, 'it ends here')
    }
    return window.subarray(offsetBytes - start, end - start)
  }
}
