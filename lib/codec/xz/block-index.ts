// The index of an .xz stream says where each block begins, so that blocks can be
// decoded side by side. It stays the bytes that it is: a record is read when its
// turn comes, and a million blocks cost no objects.
import { badXz, type XzPlace } from './error.ts'
import { compareSum, formatFooter, formatHeader, sumOf } from './header.ts'

/** One block, as the index has it. */
export interface BlockRecord {
  /** Header, data and check, without the padding to a multiple of 4. */
  readonly unpaddedBytes: number
  /** What is in it. */
  readonly sizeBytes: number
}

// A block header and one byte of data have no room in less.
const MIN_BYTES = 5

/**
 * Reads an index to its end, and keeps nothing of it.
 *
 * @param bytes - the index, from its indicator to its check sum
 * @returns how many blocks there are, and what room they take
 * @throws BAD_ARCHIVE
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

/** @returns the blocks of an index that {@link checkIndex} took, in their order. */
export function* readRecords(index: Buffer, place: XzPlace): Generator<BlockRecord> {
  yield* walk(index.subarray(0, -4), place)
}

/** @returns a block's size with its padding. */
export function padded(unpaddedBytes: number): number {
  return Math.ceil(unpaddedBytes / 4) * 4
}

/**
 * What makes a block, with its padding, a stream of its own: so whoever decodes
 * it compares it with its record and verifies its check.
 *
 * @returns what goes before it, and what goes after it
 */
export function frameBlock(check: number, metadata: BlockRecord): { head: Buffer; tail: Buffer } {
  const index = formatIndex([metadata])
  return {
    head: formatHeader(check),
    tail: Buffer.concat([index, formatFooter(check, index.length)]),
  }
}

/** @returns the index of a stream of these blocks. */
export function formatIndex(records: readonly BlockRecord[]): Buffer {
  const numbers = records.flatMap(({ unpaddedBytes, sizeBytes }) => [unpaddedBytes, sizeBytes])
  const body = Buffer.from([0, ...[records.length, ...numbers].flatMap(formatNumber)])
  const whole = Buffer.concat([body, Buffer.alloc(-body.length & 3)])
  return Buffer.concat([whole, sumOf(whole)])
}

// Gives the place after the last record.
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

// Seven bits a byte, the lowest first. Nothing here can be as large as the
// format allows: files are smaller.
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

/** @returns a number as .xz writes it: seven bits a byte, the lowest first. */
export function formatNumber(value: number): number[] {
  return value < 0x80 ? [value] : [(value % 0x80) | 0x80, ...formatNumber(Math.floor(value / 0x80))]
}

function checkPadding(padding: Buffer, place: XzPlace): void {
  if (padding.length > 3 || padding.some((byte) => byte !== 0)) {
    throw badXz(place, 'index: it holds more than the records that it counts')
  }
}
