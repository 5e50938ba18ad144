// The codecs of archives: their names and endings, the bytes that they are told
// by, and how they can be set.
import { ToolError } from '../core/errors.ts'

/** The codecs, as metadata names them. */
export const CODECS = ['xz', 'zstd'] as const

/** How the bytes of an archive are compressed. */
export type Codec = (typeof CODECS)[number]

/** The formats, as `--format` names them. */
export const FORMATS = ['xz', 'zst'] as const

/** A codec and all of its settings that the bytes of an archive depend on. */
export interface Coding {
  readonly codec: Codec
  readonly level: number
  /** Logarithm of the bytes that zstd looks back over; absent for xz. */
  readonly windowLog?: number
}

/** The ending of an archive's name, by its codec. */
export const ENDINGS: Readonly<Record<Codec, string>> = { xz: '.tar.xz', zstd: '.tar.zst' }

// The largest window that `zstd -d` takes without being told to.
const PLAIN_WINDOW_LOG = 27

const XZ_LEVELS = { min: 0, max: 9, standard: 6 }
// As small as is at least eight times as fast as xz (test/bench/zst-bench.ts).
const ZSTD_LEVELS = { min: 1, max: 19, standard: 8 }

/**
 * @param wanted - `format` without it xz; `level` and `long` (see
 *   {@link Coding.windowLog}) without them what suits the format
 * @throws USAGE where they do not fit together
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

/** @returns whether the same bytes come out of the same compressor. */
export function isSameCoding(one: Coding, other: Coding): boolean {
  return one.codec === other.codec && one.level === other.level && one.windowLog === other.windowLog
}

/** How many bytes {@link codecOf} looks at. */
export const MAGIC_BYTES = 6

/** What an .xz stream begins with. */
export const XZ_MAGIC = Buffer.from('fd377a585a00', 'hex')

/** What a zstd frame begins with. */
export const ZSTD_MAGIC = Buffer.from('28b52ffd', 'hex')

const SKIPPABLE_MAGIC = 0x184d2a50

/** @returns whether a zstd frame that begins so is to be skipped: it holds something else. */
export function isSkippable(magic: Buffer): boolean {
  return (magic.readUInt32LE() & ~0xf) >>> 0 === SKIPPABLE_MAGIC
}

/**
 * @param bytes - the first of a file, or of a segment
 * @returns the codec, or undefined if it is none of them
 * @see https://tukaani.org/xz/xz-file-format.txt
 * @see https://www.rfc-editor.org/rfc/rfc8878
 */
export function codecOf(bytes: Buffer): Codec | undefined {
  if (bytes.subarray(0, XZ_MAGIC.length).equals(XZ_MAGIC)) return 'xz'
  const magic = bytes.subarray(0, ZSTD_MAGIC.length)
  if (magic.length < ZSTD_MAGIC.length) return undefined
  return magic.equals(ZSTD_MAGIC) || isSkippable(magic) ? 'zstd' : undefined
}
