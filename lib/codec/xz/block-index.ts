// Reads and writes the index of an .xz stream. The index says where each block begins, so
// that several blocks can be decoded at a time. It stays in memory as bytes, and a record
// is parsed only when it is needed: a million blocks then take no million objects.
import { badXz, type XzPlace } from './error.ts'
import { compareSum, formatFooter, formatHeader, sumOf } from './header.ts'

/** The record of a block in the index. */
export interface BlockRecord {
  /** Size of header, compressed data and check, without the padding to a multiple of 4. */
  readonly unpaddedBytes: number
  /** Size of its content, uncompressed. */
  readonly sizeBytes: number
}

// The smallest size that a record may claim, as in liblzma.
const MIN_BYTES = 5

/**
 * Checks an index from its start to its end.
 *
 * @param bytes - the index, from its indicator to its CRC32
 * @param place - the place of the index, for errors
 * @returns the number of blocks, and their size in the file with padding
 * @throws BAD_ARCHIVE if the index is damaged
 * @see https://tukaani.org/xz/xz-file-format.txt 4
 */
export function checkIndex(
  bytes: Buffer,
  place: XzPlace,
): { readonly blocks: number; readonly blocksBytes: number } {
  const body = bytes.subarray(0, -4)
  compareSum('index', body, bytes.readUInt32LE(body.length), place)
  if (body[0] !== 0) throw badXz(place, `index: got indicator ${body[0]}, want 0`)
  let blocks = 0
  let blocksBytes = 0
  let sizeBytes = 0
  const records = walk(body, place)
  let step = records.next()
  for (; step.done !== true; step = records.next()) {
    const { unpaddedBytes, sizeBytes: own } = step.value
    if (unpaddedBytes < MIN_BYTES) {
      throw badXz(place, `index: block ${blocks + 1}: got ${unpaddedBytes} bytes, want more`)
    }
    blocks++
    blocksBytes += padded(unpaddedBytes)
    sizeBytes += own
    if (!Number.isSafeInteger(blocksBytes) || !Number.isSafeInteger(sizeBytes)) {
      throw badXz(place, 'index: it claims more bytes than there can be')
    }
  }
  checkPadding(body.subarray(step.value), place)
  return { blocks, blocksBytes }
}

/** @returns the records of an index that {@link checkIndex} has checked, in their order. */
export function* readRecords(index: Buffer, place: XzPlace): Generator<BlockRecord> {
  yield* walk(index.subarray(0, -4), place)
}

/** @returns the size of a block with its padding, a multiple of 4. */
export function padded(unpaddedBytes: number): number {
  return Math.ceil(unpaddedBytes / 4) * 4
}

/**
 * Makes a block, with its padding, a stream of its own. The decoder then compares the
 * block with its record, and verifies its check.
 *
 * @param check - the number of the kind of check
 * @param metadata - the record of the block
 * @returns the bytes before the block, and the bytes after it
 */
export function frameBlock(check: number, metadata: BlockRecord): { head: Buffer; tail: Buffer } {
  const index = formatIndex([metadata])
  return {
    head: formatHeader(check),
    tail: Buffer.concat([index, formatFooter(check, index.length)]),
  }
}

/** @returns the index of a stream with these blocks. */
export function formatIndex(records: readonly BlockRecord[]): Buffer {
  const numbers = records.flatMap(({ unpaddedBytes, sizeBytes }) => [unpaddedBytes, sizeBytes])
  const body = Buffer.from([0, ...[records.length, ...numbers].flatMap(formatNumber)])
  const whole = Buffer.concat([body, Buffer.alloc(-body.length & 3)])
  return Buffer.concat([whole, sumOf(whole)])
}

// Yields the records; returns the offset after the last one.
function* walk(body: Buffer, place: XzPlace): Generator<BlockRecord, number> {
  let at = 1
  const next = (): number => {
    const [value, lengthBytes] = parseNumber(body, at, place)
    at += lengthBytes
    return value
  }
  const records = next()
  for (let done = 0; done < records; done++) {
    const unpaddedBytes = next()
    yield { unpaddedBytes, sizeBytes: next() }
  }
  return at
}

// A number has seven bits in each byte, the lowest first. The format allows numbers up to
// 2^63; one above 2^53 is an error here, because no file is as large.
function parseNumber(body: Buffer, at: number, place: XzPlace): [value: number, bytes: number] {
  let value = 0
  for (let count = 0; count < 9; count++) {
    const byte = body[at + count]
    if (byte === undefined) throw badXz(place, 'index: it ends within a number')
    value += (byte & 0x7f) * 2 ** (7 * count)
    if (byte >= 0x80) continue
    if (byte === 0 && count > 0) break
    if (!Number.isSafeInteger(value)) {
      throw badXz(place, `index: it claims ${value} blocks or bytes, more than there can be`)
    }
    return [value, count + 1]
  }
  throw badXz(place, 'index: a number in it is not written as it should be')
}

/** @returns a number in the encoding of .xz: seven bits in each byte, the lowest first. */
export function formatNumber(value: number): number[] {
  return value < 0x80 ? [value] : [(value % 0x80) | 0x80, ...formatNumber(Math.floor(value / 0x80))]
}

function checkPadding(padding: Buffer, place: XzPlace): void {
  if (padding.length > 3 || padding.some((byte) => byte !== 0)) {
    throw badXz(place, 'index: it holds more than the records that it counts')
  }
}
