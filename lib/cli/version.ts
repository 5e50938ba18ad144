// What --version tells. An executable has its origin in it; the sources have to
// look for theirs, with means that an executable has not.
import type { Origin } from './origin.ts'

/** The JSON of an origin; defined by scripts/build, and not there in the sources. */
declare const BUILD_ORIGIN: string

/** @returns such as `0.1.0 (commit 84870e8f3a1c, node v24.21.0, linux-x64)` */
export async function formatVersion(): Promise<string> {
  const { version, commit }: Origin =
    typeof BUILD_ORIGIN === 'undefined'
      ? (await import('./origin.ts')).readOrigin()
      : /* c8 ignore next -- only in an executable, which carries no coverage */
        JSON.parse(BUILD_ORIGIN)
  const made = commit === undefined ? '' : `commit ${commit}, `
  return `${version} (${made}node ${process.version}, ${process.platform}-${process.arch})`
}
