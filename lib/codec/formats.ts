// The codecs of archives: their names, file name endings, first bytes and settings.
import { ToolError } from '../core/errors.ts'
import { MAGIC, startsWith } from './magic.ts'

/** The codecs, by their names in metadata. */
export const CODECS = ['xz', 'zstd'] as const

/** How the bytes of an archive are compressed. */
export type Codec = (typeof CODECS)[number]

/** The formats, by their names in `--format`. */
export const FORMATS = ['xz', 'zst'] as const

/** A codec, and the settings that the bytes of an archive depend on. */
export interface Coding {
  readonly codec: Codec
  readonly level: number
  /** The window of zstd, how far a match may lie back, as a power of two; absent for xz. */
  readonly windowLog?: number
}

/** The ending of an archive's file name, by its codec. */
export const ENDINGS: Readonly<Record<Codec, string>> = { xz: '.tar.xz', zstd: '.tar.zst' }

// The largest window that `zstd -d` takes without the option `--long`.
const PLAIN_WINDOW_LOG = 27

const XZ_LEVELS = { min: 0, max: 9, standard: 6 }
// 8 gives the smallest archive that still takes at most an eighth of the time of xz
// (test/bench/zst-bench.ts).
const ZSTD_LEVELS = { min: 1, max: 19, standard: 8 }

/**
 * @param wanted - the options of the command line; `format`: xz by default; `level` and
 *   `long` (see {@link Coding.windowLog}): by default as suits the format
 * @returns the codec and its settings
 * @throws USAGE if the options do not fit together
 */
export function chooseCoding(wanted: {
  format: (typeof FORMATS)[number] | undefined
  level: number | undefined
  long: number | undefined
}): Coding {
  const { format = 'xz', level, long } = wanted
  const levels = format === 'xz' ? XZ_LEVELS : ZSTD_LEVELS
  const { min, max, standard } = levels
  if (level !== undefined && (level < min || level > max)) {
    throw new ToolError('USAGE', `--level: got ${level}, want ${min} to ${max} for ${format}`, {
      hint: 'see --help',
    })
  }
  if (format === 'zst') {
    return { codec: 'zstd', level: level ?? standard, windowLog: long ?? PLAIN_WINDOW_LOG }
  }
  if (long === undefined) return { codec: 'xz', level: level ?? standard }
  throw new ToolError('USAGE', '--long is for --format zst', { hint: 'see --help' })
}

/** @returns whether one compressor writes the same bytes with both settings. */
export function isSameCoding(one: Coding, other: Coding): boolean {
  return one.codec === other.codec && one.level === other.level && one.windowLog === other.windowLog
}

const SKIPPABLE_MAGIC = 0x184d2a50

/** @returns whether these are the first bytes of a skippable zstd frame, which holds no content. */
export function isSkippable(magic: Buffer): boolean {
  return (magic.readUInt32LE() & ~0xf) >>> 0 === SKIPPABLE_MAGIC
}

/**
 * @param bytes - the first bytes of a file or of a segment
 * @returns the codec, or undefined if it is none of them
 * @see https://tukaani.org/xz/xz-file-format.txt
 * @see https://www.rfc-editor.org/rfc/rfc8878
 */
export function codecOf(bytes: Buffer): Codec | undefined {
  if (startsWith(bytes, MAGIC.xz)) return 'xz'
  const magic = bytes.subarray(0, MAGIC.zstd.length)
  if (magic.length < MAGIC.zstd.length) return undefined
  return magic.equals(MAGIC.zstd) || isSkippable(magic) ? 'zstd' : undefined
}
