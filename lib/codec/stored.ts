// Stores bytes uncompressed in the format of a compressed stream. It is for layers that
// are compressed already: to compress them again takes time, and makes them no smaller.
// Decoders need little memory for such a stream.
import { rechunk } from '../io/rechunk.ts'
import { codecOf } from './formats.ts'
import { MAGIC, startsWith } from './magic.ts'
import { formatIndex, formatNumber, type BlockRecord } from './xz/block-index.ts'
import { formatFooter, formatHeader, sumOf } from './xz/header.ts'

/**
 * @param firstBytes - the first bytes of a layer
 * @returns whether the layer is compressed by gzip or zstd, as in a containerd store
 */
export function isCompressed(firstBytes: Buffer): boolean {
  return startsWith(firstBytes, MAGIC.deflate) || codecOf(firstBytes) === 'zstd'
}

/**
 * @returns a zstd frame of raw blocks
 * @see https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1
 */
export async function* storeZstd(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  // The frame header has no content size and no checksum; its window of 128 KiB is the
  // smallest that allows blocks of 128 KiB.
  yield Buffer.concat([MAGIC.zstd, Buffer.of(0, 7 << 3)])
  for await (const bytes of rechunk(chunks, ZSTD_BLOCK_BYTES)) {
    yield littleEndian(bytes.length << 3, 3)
    yield bytes
  }
  yield littleEndian(1, 3) // the last block, of no bytes
}

const ZSTD_BLOCK_BYTES = 128 * 1024

/**
 * @returns an .xz stream of uncompressed LZMA2 chunks; its block headers give the sizes,
 *   so that decoders can decode several blocks at a time
 * @see https://tukaani.org/xz/xz-file-format.txt
 */
export async function* storeXz(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const records: BlockRecord[] = []
  yield formatHeader(XZ_CHECK)
  for await (const content of rechunk(chunks, XZ_BLOCK_BYTES)) {
    const data = [...lzma2Chunks(content)]
    const sizeBytes = data.reduce((sum, { length }) => sum + length, 0)
    const header = blockHeader(sizeBytes, content.length)
    const check = sumOf(content)
    yield header
    yield* data
    yield Buffer.concat([padding(sizeBytes), check])
    const unpaddedBytes = header.length + sizeBytes + check.length
    records.push({ unpaddedBytes, sizeBytes: content.length })
  }
  const index = formatIndex(records)
  yield index
  yield formatFooter(XZ_CHECK, index.length)
}

const XZ_CHECK = 1 // each block has a CRC32
const XZ_BLOCK_BYTES = 16 * 1024 * 1024
const LZMA2_CHUNK_BYTES = 64 * 1024

// The header has both sizes, and one filter: LZMA2 with a dictionary of 4 KiB.
function blockHeader(sizeBytes: number, contentBytes: number): Buffer {
  const sizes = [...formatNumber(sizeBytes), ...formatNumber(contentBytes)]
  const fields = Buffer.of(0, 0xc0, ...sizes, 0x21, 1, 0)
  const header = Buffer.concat([fields, padding(fields.length)])
  header[0] = header.length / 4 // its size with the CRC, in units of 4 bytes, minus 1
  return Buffer.concat([header, sumOf(header)])
}

// The first chunk (1) resets the dictionary, the others (2) do not; 0 is the end.
function* lzma2Chunks(content: Buffer): Generator<Buffer> {
  for (let at = 0; at < content.length; at += LZMA2_CHUNK_BYTES) {
    const bytes = content.subarray(at, at + LZMA2_CHUNK_BYTES)
    const size = bytes.length - 1
    yield Buffer.of(at === 0 ? 1 : 2, size >> 8, size & 0xff)
    yield bytes
  }
  yield Buffer.of(0)
}

function padding(sizeBytes: number): Buffer {
  return Buffer.alloc(-sizeBytes & 3)
}

function littleEndian(value: number, sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes)
  bytes.writeUIntLE(value, 0, sizeBytes)
  return bytes
}
