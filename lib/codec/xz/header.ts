// Reads and writes the header and the footer of an .xz stream. Each has 12 bytes, and both
// give the kind of check.
import { crc32 } from 'node:zlib'

import { MAGIC } from '../magic.ts'
import { badXz, type XzPlace } from './error.ts'

/** The size of a stream header, and of a stream footer, in bytes. */
export const HEADER_BYTES = 12

const FOOTER_MAGIC = Buffer.from('YZ')
// The kinds of check: none, CRC32, CRC64, SHA-256.
const CHECKS = new Set([0, 1, 4, 10])
/**
 * @param bytes - the first 12 bytes of a stream
 * @param place - their place, for errors
 * @returns the number of its kind of check
 * @throws BAD_ARCHIVE if they are no valid header
 * @see https://tukaani.org/xz/xz-file-format.txt 2.1.1
 */
export function parseHeader(bytes: Buffer, place: XzPlace): number {
  compare('stream header', bytes.subarray(0, 6), MAGIC.xz, place)
  const flags = bytes.subarray(6, 8)
  compareSum('stream header', flags, bytes.readUInt32LE(8), place)
  return parseFlags('stream header', flags, place)
}

/**
 * @param bytes - the last 12 bytes of a stream
 * @param place - their place, for errors
 * @returns the number of its kind of check, and the size of its index
 * @throws BAD_ARCHIVE if they are no valid footer
 * @see https://tukaani.org/xz/xz-file-format.txt 2.1.2
 */
export function parseFooter(
  bytes: Buffer,
  place: XzPlace,
): { readonly check: number; readonly indexBytes: number } {
  compare('stream footer', bytes.subarray(10), FOOTER_MAGIC, place)
  compareSum('stream footer', bytes.subarray(4, 10), bytes.readUInt32LE(0), place)
  const check = parseFlags('stream footer', bytes.subarray(8, 10), place)
  return { check, indexBytes: (bytes.readUInt32LE(4) + 1) * 4 }
}

/** @returns the header of a stream with this kind of check. */
export function formatHeader(check: number): Buffer {
  const flags = Buffer.of(0, check)
  return Buffer.concat([MAGIC.xz, flags, sumOf(flags)])
}

/** @returns the footer of a stream with this kind of check, and an index of this size. */
export function formatFooter(check: number, indexBytes: number): Buffer {
  const body = Buffer.alloc(6)
  body.writeUInt32LE(indexBytes / 4 - 1)
  body.writeUInt8(check, 5)
  return Buffer.concat([sumOf(body), body, FOOTER_MAGIC])
}

/** @throws BAD_ARCHIVE if `sum` is not the CRC32 of the bytes. */
export function compareSum(what: string, bytes: Buffer, sum: number, place: XzPlace): void {
  const want = crc32(bytes)
  if (sum === want) return
  throw badXz(place, `${what}: check sum: got ${hex(sum)}, want ${hex(want)}`)
}

/** @returns the CRC32 of some bytes, as a file holds it: 4 bytes, the lowest first. */
export function sumOf(bytes: Buffer): Buffer {
  const sum = Buffer.alloc(4)
  sum.writeUInt32LE(crc32(bytes))
  return sum
}

function parseFlags(what: string, flags: Buffer, place: XzPlace): number {
  const [first, check = 0] = flags
  if (first === 0 && CHECKS.has(check)) return check
  const got = flags.toString('hex')
  throw badXz(place, `${what}: got flags ${got}, want 0000, 0001, 0004 or 000a: unknown check`)
}

function compare(what: string, got: Buffer, want: Buffer, place: XzPlace): void {
  if (got.equals(want)) return
  throw badXz(place, `${what}: got ${got.toString('hex')}, want ${want.toString('hex')}`)
}

function hex(sum: number): string {
  return sum.toString(16).padStart(8, '0')
}
