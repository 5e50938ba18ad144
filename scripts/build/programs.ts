// The names of the programs, in scripts/ and in dist/.

/** The programs, by their file names. */
export const PROGRAMS = [
  'save_compressed_tars',
  'compress_tars',
  'verify_checksums',
  'load_compressed_tars',
] as const

/** Stands in for the name of the program in an executable that has no name yet. */
export const ANY_PROGRAM = '@the name of one of the programs@'
