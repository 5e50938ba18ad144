// Finds how a layer is compressed by its first bytes, as the engines do. Its name and its
// media type may say something else.
import { codecOf } from './formats.ts'
import { MAGIC, startsWith } from './magic.ts'

/** How a layer may be compressed; each is also the name of a program. */
export type Compression = 'gzip' | 'zstd' | 'xz' | 'bzip2'

/**
 * @param start - the first six bytes of a layer, or all of it if it is shorter
 * @returns how it is compressed, or undefined if it is not
 */
export function compressionOf(start: Buffer): Compression | undefined {
  if (startsWith(start, MAGIC.gzip)) return 'gzip'
  if (startsWith(start, MAGIC.bzip2)) return 'bzip2'
  return codecOf(start)
}
