// Which version the sources are, asked of package.json and git.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

/** What a program was made from. */
export interface Origin {
  /** As in package.json. */
  readonly version: string
  /** The git commit, with `-dirty` after it if a file had changed; none without git. */
  readonly commit?: string
}

/** @returns the origin of the sources that this file is one of. */
export function readOrigin(): Origin {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const { version }: Origin = JSON.parse(readFileSync(`${root}/package.json`, 'utf8'))
  const commit = askGit(root)
  return commit === undefined ? { version } : { version, commit }
}

// A tarball of the sources may lie inside of another repository: git is not to
// look above, nor where the environment of a hook points to.
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
