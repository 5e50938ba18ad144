// The programs, as they are named in scripts/ and in dist/.

/** The programs, by their file names. */
export const PROGRAMS = [
  'save_compressed_tars',
  'compress_tars',
  'verify_checksums',
  'load_compressed_tars',
] as const
