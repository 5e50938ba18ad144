// Finds .xz streams from the end of a file to its start: padding, footer, index and header
// of the last stream, then those of the one before it. This takes a few small reads for
// each stream, and does not need the blocks.
import { checkIndex } from './block-index.ts'
import { badXz } from './error.ts'
import { HEADER_BYTES, parseFooter, parseHeader } from './header.ts'

/** One .xz stream. */
export interface XzStream {
  /** Offset of its header, from the start of the file. */
  readonly offsetBytes: number
  readonly header: Buffer
  readonly index: Buffer
  readonly footer: Buffer
  /** The number of its kind of check. */
  readonly check: number
  /** Number of its blocks. */
  readonly blocks: number
  /** Offset of its index, from the start of the file. */
  readonly indexOffsetBytes: number
  /** Number of zeros after it. */
  readonly paddingBytes: number
}

/** A part of a file that holds whole streams. */
export interface XzSource {
  /** Name of the file, for errors. */
  readonly archive: string
  readonly offsetBytes: number
  readonly sizeBytes: number
  /** @returns exactly these bytes of the file; the offset counts from its start. */
  read(offsetBytes: number, sizeBytes: number): Promise<Buffer>
}

// The most that is kept of all streams together. The index of a layer in blocks of 24 MiB
// takes some hundred bytes. A file with more than this was made to use up memory.
const MAX_INDEX_BYTES = 64 * 1024 ** 2
const MAX_STREAMS = 100_000
const PADDING_BYTES = 4096

/**
 * @returns the streams, in the order of the file
 * @throws BAD_ARCHIVE if the part holds anything but whole streams, or too many of them
 */
export async function readLayout(source: XzSource): Promise<XzStream[]> {
  const { archive, offsetBytes: start, sizeBytes } = source
  const streams: XzStream[] = []
  let indexBytes = 0
  let end = start + sizeBytes
  do {
    const stream = await readStream(source, end)
    streams.push(stream)
    indexBytes += stream.index.length
    end = stream.offsetBytes
    if (indexBytes > MAX_INDEX_BYTES || streams.length > MAX_STREAMS) {
      const place = { archive, offsetBytes: end }
      throw badXz(place, 'it is in more streams and blocks than are supported here', BY_HAND)
    }
  } while (end > start)
  return streams.toReversed()
}

const BY_HAND = 'if it is meant to be so, install xz or pixz, which take it'

async function readStream(source: XzSource, paddedEnd: number): Promise<XzStream> {
  const paddingBytes = await countPadding(source, paddedEnd)
  const { footer, check, indexOffsetBytes, indexBytes } = await readFooter(
    source,
    paddedEnd - paddingBytes,
    paddingBytes,
  )
  const index = await source.read(indexOffsetBytes, indexBytes)
  const place = { archive: source.archive, offsetBytes: indexOffsetBytes }
  const { blocks, blocksBytes } = checkIndex(index, place)
  const max = indexOffsetBytes - source.offsetBytes - HEADER_BYTES
  if (blocksBytes > max) {
    throw badXz(place, `index: got ${blocksBytes} bytes of blocks, want at most ${max}`)
  }
  const offsetBytes = indexOffsetBytes - blocksBytes - HEADER_BYTES
  const header = await source.read(offsetBytes, HEADER_BYTES)
  const checkBefore = parseHeader(header, { ...place, offsetBytes })
  if (checkBefore !== check) {
    const at = { ...place, offsetBytes: indexOffsetBytes + indexBytes }
    throw badXz(at, `stream footer: got check ${check}, want ${checkBefore}`)
  }
  return {
    offsetBytes,
    // These are copies: a view would keep the whole buffer of its read in memory.
    header: Buffer.from(header),
    index: Buffer.from(index),
    footer: Buffer.from(footer),
    check,
    blocks,
    indexOffsetBytes,
    paddingBytes,
  }
}

/** The footer of a stream, and where it says that the index is. */
interface Footer {
  readonly footer: Buffer
  readonly check: number
  readonly indexOffsetBytes: number
  readonly indexBytes: number
}

async function readFooter(source: XzSource, end: number, paddingBytes: number): Promise<Footer> {
  const { archive, offsetBytes: start } = source
  const at = (offsetBytes: number) => ({ archive, offsetBytes })
  if (end - start < 2 * HEADER_BYTES) {
    throw badXz(at(start), `got ${end - start} bytes, want a stream`)
  }
  if (paddingBytes % 4 !== 0) {
    throw badXz(at(end), `stream padding: got ${paddingBytes} bytes, want a multiple of 4`)
  }
  const offset = end - HEADER_BYTES
  const footer = await source.read(offset, HEADER_BYTES)
  const { check, indexBytes } = parseFooter(footer, at(offset))
  const room = offset - start - HEADER_BYTES
  if (indexBytes > Math.min(room, MAX_INDEX_BYTES)) {
    throw badXz(at(offset), `stream footer: got an index of ${indexBytes} bytes, want less`)
  }
  return { footer, check, indexOffsetBytes: offset - indexBytes, indexBytes }
}

async function countPadding(source: XzSource, end: number): Promise<number> {
  for (let from = end; from > source.offsetBytes;) {
    const size = Math.min(PADDING_BYTES, from - source.offsetBytes)
    const bytes = await source.read(from - size, size)
    const last = bytes.findLastIndex((byte) => byte !== 0)
    if (last !== -1) return end - (from - size + last + 1)
    from -= size
  }
  return end - source.offsetBytes
}
