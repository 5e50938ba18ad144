// Formats the text of --version. An executable holds its origin. The sources have to find
// theirs with package.json and git, which an executable does not have.
import type { Origin } from './origin.ts'

/** The origin as JSON. Only scripts/build defines it. */
declare const BUILD_ORIGIN: string

/** @returns the version, such as `0.1.0 (commit 84870e8f3a1c, node v24.21.0, linux-x64)` */
export async function formatVersion(): Promise<string> {
  const { version, commit }: Origin =
    typeof BUILD_ORIGIN === 'undefined'
      ? (await import('./origin.ts')).readOrigin()
      : /* c8 ignore next -- only in an executable, which carries no coverage */
        JSON.parse(BUILD_ORIGIN)
  const made = commit === undefined ? '' : `commit ${commit}, `
  return `${version} (${made}node ${process.version}, ${process.platform}-${process.arch})`
}
