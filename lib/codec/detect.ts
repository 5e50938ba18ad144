// How a layer is compressed, told by its first bytes, as the engines tell it: whatever
// its name or its media type says.
import { codecOf } from './formats.ts'

/** How a layer may be compressed; each is the name of a program as well. */
export type Compression = 'gzip' | 'zstd' | 'xz' | 'bzip2'

const GZIP_MAGIC = Buffer.from('1f8b', 'hex')
const BZIP2_MAGIC = Buffer.from('BZh')

/**
 * @param start - the first six bytes of a layer, or all of less
 * @returns how it is compressed, or undefined if it is not
 */
export function compressionOf(start: Buffer): Compression | undefined {
  const begins = (magic: Buffer): boolean => start.subarray(0, magic.length).equals(magic)
  if (begins(GZIP_MAGIC)) return 'gzip'
  if (begins(BZIP2_MAGIC)) return 'bzip2'
  return codecOf(start)
}
