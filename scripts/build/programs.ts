// The programs, as they are named in scripts/ and in dist/.

/** The programs, by their file names. */
export const PROGRAMS = [
  'save_compressed_tars',
  'compress_tars',
  'verify_checksums',
  'load_compressed_tars',
] as const

/** What is found in an executable that is none of the programs yet, in place of a name. */
export const ANY_PROGRAM = '@the name of one of the programs@'
