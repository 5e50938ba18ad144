// Cuts the bytes of .xz streams into their blocks, each as a small stream of its
// own: header and index around it make whoever decodes it verify all of it.
import { basename } from 'node:path'

import { createByteReader, type ByteReader } from '../../io/byte-reader.ts'
import { badXz, type XzPlace } from './error.ts'
import type { FileRange } from '../../io/file-range.ts'
import { readStreams } from './file.ts'
import { frameBlock, padded, readRecords, type BlockRecord } from './block-index.ts'
import type { XzStream } from './layout.ts'
import { INPUT_BYTES } from './worker-messages.ts'
import type { OpenBlock } from './worker-pool.ts'

/** Begins a block, which is the so-many-th of its stream, from 1 on. */
export type BeginBlock = (
  metadata: BlockRecord,
  number: number,
  place: XzPlace,
) => Promise<OpenBlock>

/**
 * Reads all of the bytes, and compares what is not in a block with what the
 * indexes were read from.
 *
 * @param parts - where the bytes come from
 * @param onSingle - told where all of it is one block
 * @throws BAD_ARCHIVE with the place
 */
export async function feedBlocks(
  chunks: AsyncIterable<Buffer>,
  parts: readonly FileRange[],
  begin: BeginBlock,
  onSingle: (archive: string, blockBytes: number) => void,
): Promise<void> {
  let place: XzPlace = { archive: '', offsetBytes: 0 }
  const bytes = createByteReader(chunks, (what) =>
    badXz(place, `got ${what} bytes than when its index was read`),
  )
  for (const part of parts) {
    const archive = basename(part.path)
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

// So little that nobody waits for it is not worth a word.
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
      // It is never done, and whoever waits for it has to hear why.
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
