// The options of a command line about compression, which two programs share.
import { FORMATS, chooseCoding, type Coding } from './formats.ts'
import { COMPRESSOR_NAMES, type CompressorName } from './programs.ts'

/** How a run is to compress. */
export interface CompressionChoice {
  readonly coding: Coding
  /** The program to compress with; by default the best one available. */
  readonly compressor: CompressorName | undefined
}

/** A command line. */
interface GivenOptions {
  choice<T extends string>(name: string, values: readonly T[]): T | undefined
  number(name: string, min: number, max: number): number | undefined
}

/**
 * @returns what `--format`, `--level`, `--long` and `--compressor` say
 * @throws USAGE if they do not fit together
 */
export function readCompression(given: GivenOptions): CompressionChoice {
  return {
    coding: chooseCoding({
      format: given.choice('format', FORMATS),
      level: given.number('level', 0, 19),
      long: given.number('long', 10, 31),
    }),
    compressor: given.choice('compressor', COMPRESSOR_NAMES),
  }
}
