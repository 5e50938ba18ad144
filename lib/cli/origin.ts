// Finds the version of the sources, from package.json and git.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The version and commit that a program was made from. */
export interface Origin {
  /** The version in package.json. */
  readonly version: string
  /** The git commit, with `-dirty` at its end if a file has changed; absent without git. */
  readonly commit?: string
}

/** @returns the origin of the sources that this file belongs to. */
export function readOrigin(): Origin {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const { version }: Origin = JSON.parse(readFileSync(`${root}/package.json`, 'utf8'))
  const commit = askGit(root)
  return commit === undefined ? { version } : { version, commit }
}

// Unpacked sources may be inside another repository, so git must not look in the
// directories above. It must not use the repository of a git hook's environment either.
function askGit(root: string): string | undefined {
  const args = ['--no-optional-locks', 'describe', '--always', '--dirty', '--abbrev=12']
  const elsewhere = { GIT_DIR: undefined, GIT_WORK_TREE: undefined, GIT_INDEX_FILE: undefined }
  try {
    const output = execFileSync('git', [...args, '--exclude=*'], {
      cwd: root,
      env: { ...process.env, ...elsewhere, GIT_CEILING_DIRECTORIES: dirname(root) },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    return output.trim()
  } catch {
    return undefined
  }
}
