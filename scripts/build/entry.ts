// The entry point of an executable. Each executable holds all four programs; the name that
// the build writes into it selects the one to start.
import type { PROGRAMS } from './programs.ts'

/** The name of the program, padded with blanks. The build writes it, see `nameExecutable`. */
declare const BUILD_PROGRAM: string

const START: Readonly<Record<(typeof PROGRAMS)[number], () => Promise<unknown>>> = {
  save_compressed_tars: () => import('../save_compressed_tars.ts'),
  compress_tars: () => import('../compress_tars.ts'),
  verify_checksums: () => import('../verify_checksums.ts'),
  load_compressed_tars: () => import('../load_compressed_tars.ts'),
}

const name = BUILD_PROGRAM.trimEnd()
const start = Object.entries(START).find(([program]) => program === name)?.[1]
// Without this error an executable with a damaged name would do nothing, and succeed.
if (!start) throw new Error(`start "${name}": there is no such program`)
void start()
