// Finds how a layer is compressed by its first bytes, as the engines do. Its name and its
// media type may say something else.
import { codecOf } from './formats.ts'

/** How a layer may be compressed; each is also the name of a program. */
export type Compression = 'gzip' | 'zstd' | 'xz' | 'bzip2'

const GZIP_MAGIC = Buffer.from('1f8b', 'hex')
const BZIP2_MAGIC = Buffer.from('BZh')

/**
 * @param start - the first six bytes of a layer, or all of it if it is shorter
 * @returns how it is compressed, or undefined if it is not
 */
export function compressionOf(start: Buffer): Compression | undefined {
  const begins = (magic: Buffer): boolean => start.subarray(0, magic.length).equals(magic)
  if (begins(GZIP_MAGIC)) return 'gzip'
  if (begins(BZIP2_MAGIC)) return 'bzip2'
  return codecOf(start)
}
