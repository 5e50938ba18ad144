// Cuts the bytes of .xz streams into blocks, and makes each block a small stream of its
// own. With a header and an index around it, the decoder verifies all of the block.
import { basename } from 'node:path'

import type { ArchiveRange } from '../../io/archive-file.ts'
import { createByteReader, type ByteReader } from '../../io/byte-reader.ts'
import { frameBlock, padded, readRecords, type BlockRecord } from './block-index.ts'
import { badXz, type XzPlace } from './error.ts'
import { readStreams } from './file.ts'
import type { XzStream } from './layout.ts'
import { INPUT_BYTES } from './worker-messages.ts'
import type { OpenBlock } from './worker-pool.ts'

/** Begins to decode a block; `number` is its place in its stream, from 1 on. */
export type BeginBlock = (
  metadata: BlockRecord,
  number: number,
  place: XzPlace,
) => Promise<OpenBlock>

/**
 * Reads all the bytes and gives the blocks to `begin`. It compares the bytes outside of
 * the blocks with those that it read from the file before.
 *
 * @param chunks - the bytes of the parts, one part after the other
 * @param parts - the parts of archives that the bytes come from
 * @param begin - begins to decode a block
 * @param onSingle - is called with file name and size if all the bytes are one large block
 * @throws BAD_ARCHIVE with the place if a part is damaged, or has changed since
 */
export async function feedBlocks(
  chunks: AsyncIterable<Buffer>,
  parts: readonly ArchiveRange[],
  begin: BeginBlock,
  onSingle: (archive: string, blockBytes: number) => void,
): Promise<void> {
  let place: XzPlace = { archive: '', offsetBytes: 0 }
  const bytes = createByteReader(chunks, (what) =>
    badXz(place, `got ${what} bytes than when its index was read`),
  )
  for (const part of parts) {
    const archive = basename(part.file.path)
    const streams = await readStreams(part)
    const [only, another] = streams
    if (parts.length === 1 && only && !another) tellSingle(archive, only, onSingle)
    for (const stream of streams) {
      const at = (offsetBytes: number): XzPlace => (place = { archive, offsetBytes })
      await expect(bytes, stream.header, at(stream.offsetBytes))
      await feedStream(bytes, stream, begin, at)
      await expect(bytes, stream.index, at(stream.indexOffsetBytes))
      await expect(bytes, stream.footer, at(stream.indexOffsetBytes + stream.index.length))
      for await (const chunk of bytes.readExactly(stream.paddingBytes)) {
        if (chunk.some((byte) => byte !== 0)) throw changed(place)
      }
    }
  }
  await bytes.end()
}

// A single block of less than this takes so little time that `onSingle` is not called.
const MIN_SINGLE_BYTES = 32 * 1024 * 1024

function tellSingle(
  archive: string,
  { blocks, index, indexOffsetBytes }: XzStream,
  onSingle: (archive: string, blockBytes: number) => void,
): void {
  if (blocks !== 1) return
  const [metadata] = readRecords(index, { archive, offsetBytes: indexOffsetBytes })
  if (metadata && metadata.sizeBytes >= MIN_SINGLE_BYTES) onSingle(archive, metadata.sizeBytes)
}

async function feedStream(
  bytes: ByteReader,
  stream: XzStream,
  begin: BeginBlock,
  at: (offsetBytes: number) => XzPlace,
): Promise<void> {
  let offsetBytes = stream.offsetBytes + stream.header.length
  let number = 0
  for (const metadata of readRecords(stream.index, at(stream.indexOffsetBytes))) {
    const block = await begin(metadata, ++number, at(offsetBytes))
    try {
      await feedBlock(bytes, stream.check, metadata, block)
    } catch (error) {
      // The block never ends, so the reader of its output gets this error.
      block.fail(error)
      throw error
    }
    offsetBytes += padded(metadata.unpaddedBytes)
  }
}

async function feedBlock(
  bytes: ByteReader,
  check: number,
  metadata: BlockRecord,
  block: OpenBlock,
): Promise<void> {
  const blockBytes = padded(metadata.unpaddedBytes)
  const { head, tail } = frameBlock(check, metadata)
  let left = head.length + blockBytes + tail.length
  let piece = Buffer.allocUnsafeSlow(Math.min(INPUT_BYTES, left))
  let filled = 0
  const put = async (chunk: Buffer): Promise<void> => {
    for (let from = 0; from < chunk.length;) {
      const count = chunk.copy(piece, filled, from)
      from += count
      filled += count
      if (filled < piece.length) return
      left -= filled
      await block.write(piece, left === 0)
      piece = Buffer.allocUnsafeSlow(Math.min(INPUT_BYTES, left))
      filled = 0
    }
  }
  await put(head)
  for await (const chunk of bytes.readExactly(blockBytes)) await put(chunk)
  await put(tail)
}

async function expect(bytes: ByteReader, want: Buffer, place: XzPlace): Promise<void> {
  let from = 0
  for await (const chunk of bytes.readExactly(want.length)) {
    if (!want.subarray(from, from + chunk.length).equals(chunk)) throw changed(place)
    from += chunk.length
  }
}

function changed(place: XzPlace): Error {
  return badXz(place, 'it is no longer what was read there before')
}
