// Reads and writes a tar header, a block of 512 bytes. It can also set times and owners to
// constants: these are the only fields in which two saves of one image differ.
import { ToolError } from '../core/errors.ts'

/** The size of a tar block, in bytes. */
export const BLOCK_BYTES = 512

/** @returns how many bytes follow a content of that size, up to the next block */
export function paddingBytes(sizeBytes: number): number {
  return (BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES
}

/** @returns those bytes */
export function padding(sizeBytes: number): Buffer {
  return Buffer.alloc(paddingBytes(sizeBytes))
}

/** The fields of a header that the tools use. */
export interface TarHeader {
  /** The path in this header; a meta member before it may give a longer one. */
  readonly path: string
  /** The type flag: `0` file, `1` hard link, `2` symbolic link, `5` directory, `x` pax, `L` GNU long name … */
  readonly type: string
  /** Bytes of content that follow the header. */
  readonly sizeBytes: number
  readonly linkPath: string
  /** Whether a block with more of a GNU sparse map follows the header. */
  readonly extended: boolean
}

/**
 * @param block - the 512 bytes of the header
 * @param offsetBytes - the offset of the header in the tar, for the error
 * @returns its fields, or undefined for a block of zeros, which marks the end of a tar
 * @throws BAD_TAR if its checksum is wrong
 * @see https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html
 */
export function readHeader(block: Buffer, offsetBytes: number): TarHeader | undefined {
  const want = readNumber(block, 148, 8)
  const got = checksum(block)
  if (got === BLANK_CHECKSUM && block.every((byte) => byte === 0)) return undefined
  if (got !== want) {
    throw new ToolError(
      'BAD_TAR',
      `read tar header at byte ${offsetBytes}: checksum: got ${got}, want ${want}`,
    )
  }
  const type = readType(block)
  const isGnu = block.toString('latin1', 257, 265) === 'ustar  \0'
  const isUstar = block.toString('latin1', 257, 263) === 'ustar\0'
  const prefix = isUstar ? readText(block, 345, 155) : ''
  const path = readText(block, 0, 100)
  return {
    path: prefix === '' ? path : `${prefix}/${path}`,
    type,
    sizeBytes: HAS_NO_CONTENT.has(type) ? 0 : readNumber(block, 124, 12),
    linkPath: readText(block, 157, 100),
    extended: isGnu && type === 'S' && block[482] === 1,
  }
}

/** Sets time, owner and group of a header to constants, in place. */
export function normalizeHeader(block: Buffer): void {
  block.write('0000000\0', 108, 'latin1') // uid
  block.write('0000000\0', 116, 'latin1') // gid
  block.write('00000000000\0', 136, 'latin1') // mtime
  block.fill(0, 265, 329) // uname, gname
  writeChecksum(block)
}

/**
 * @param path - the path, at most 100 bytes: the paths that engines give layers are shorter
 * @param sizeBytes - the size of the content
 * @returns the header of a file
 */
export function memberHeader(path: string, sizeBytes: number): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES)
  block.write(path, 0, 100)
  block.write('0000644\0', 100, 'latin1')
  writeSize(block, sizeBytes)
  block.write('0', 156, 'latin1')
  block.write('ustar\x0000', 257, 'latin1')
  normalizeHeader(block)
  return block
}

/**
 * @param block - the header of a file
 * @param path - the new path, at most 100 bytes
 * @param sizeBytes - the new size of the content
 * @returns a copy of the header with this path and size; its other fields are unchanged
 */
export function changeHeader(block: Buffer, path: string, sizeBytes: number): Buffer {
  const changed = Buffer.from(block)
  changed.fill(0, 0, 100)
  changed.write(path, 0, 100)
  changed.fill(0, 124, 136)
  writeSize(changed, sizeBytes)
  const isUstar = block.toString('latin1', 257, 263) === 'ustar\0'
  if (isUstar) changed.fill(0, 345, 500)
  writeChecksum(changed)
  return changed
}

const OCTAL_LIMIT = 8 ** 11

function writeSize(block: Buffer, sizeBytes: number): void {
  if (sizeBytes < OCTAL_LIMIT) {
    block.write(`${sizeBytes.toString(8).padStart(11, '0')}\0`, 124, 'latin1')
  } else {
    block[124] = 0x80
    block.writeBigUInt64BE(BigInt(sizeBytes), 128)
  }
}

// The types of old tars (`\0`) and of contiguous files (`7`) count as plain files.
function readType(block: Buffer): string {
  const type = block.toString('latin1', 156, 157)
  return type === '\0' || type === '7' ? '0' : type
}

// Links, devices, directories and FIFOs have no content. Some writers still give a hard
// link the size of its target.
const HAS_NO_CONTENT = new Set(['1', '2', '3', '4', '5', '6'])

// The checksum counts its own eight bytes as blanks, so this is that of a block of zeros.
const BLANK_CHECKSUM = 8 * 32

function writeChecksum(block: Buffer): void {
  block.write(`${checksum(block).toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
}

function checksum(block: Buffer): number {
  let sum = BLANK_CHECKSUM
  for (let at = 0; at < BLOCK_BYTES; at++) {
    if (at < 148 || at >= 156) sum += block.readUInt8(at)
  }
  return sum
}

function readText(block: Buffer, offset: number, length: number): string {
  const field = block.subarray(offset, offset + length)
  const end = field.indexOf(0)
  return field.toString('utf8', 0, end === -1 ? length : end)
}

// Numbers are octal, or base 256 if the first bit is set: GNU tar uses that from 8 GiB on.
function readNumber(block: Buffer, offset: number, length: number): number {
  const first = block.readUInt8(offset)
  if (first & 0x80) {
    let value = first & 0x7f
    for (let at = offset + 1; at < offset + length; at++) value = value * 256 + block.readUInt8(at)
    return value
  }
  const text = block
    .toString('latin1', offset, offset + length)
    .replaceAll('\0', ' ')
    .trim()
  return text === '' ? 0 : /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number.NaN
}
