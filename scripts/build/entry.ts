// What an executable starts: all four programs are in it, and the name that is
// put into it tells which one it is.
import type { PROGRAMS } from './programs.ts'

/** Put in place by the build; see `nameExecutable`. */
declare const BUILD_PROGRAM: string

const START: Readonly<Record<(typeof PROGRAMS)[number], () => Promise<unknown>>> = {
  save_compressed_tars: () => import('../save_compressed_tars.ts'),
  compress_tars: () => import('../compress_tars.ts'),
  verify_checksums: () => import('../verify_checksums.ts'),
  load_compressed_tars: () => import('../load_compressed_tars.ts'),
}

const name = BUILD_PROGRAM.trimEnd()
const start = Object.entries(START).find(([program]) => program === name)?.[1]
// Else what is damaged there would do nothing, and call that a success.
if (!start) throw new Error(`start "${name}": there is no such program`)
void start()
