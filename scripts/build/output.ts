// Writes to dist/ so that it never shows half-made files: a build works in a temporary
// directory inside dist/, and renames finished files into place.
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'

import { ToolError, ignoreNotFound, toToolError } from '../../lib/core/errors.ts'
import { lockDirectory } from '../../lib/io/directory-lock.ts'

const TEMPORARY = '.build-'

/**
 * @param dist - the path of dist/; the directory is made if it does not exist
 * @param work - gets an empty directory in dist/, which is removed at the end
 * @returns the result of `work`
 * @throws NOT_WRITABLE before any work if dist/ cannot be written; BUSY if another build
 *   works there
 */
export async function withOutput<T>(dist: string, work: (dir: string) => Promise<T>): Promise<T> {
  const release = await prepare(dist)
  try {
    const dir = await mkdtemp(join(dist, TEMPORARY)).catch(toError(dist))
    try {
      return await work(dir)
    } finally {
      await rm(dir, { recursive: true, force: true })
    }
  } finally {
    await release()
  }
}

// Locks dist/, and removes the directories that killed builds have left.
async function prepare(dist: string): Promise<() => Promise<void>> {
  await mkdir(dist, { recursive: true }).catch(toError(dist))
  const release = await lockDirectory(dist, 'npm run build').catch(toError(dist))
  const left = (await readdir(dist)).filter((name) => name.startsWith(TEMPORARY))
  for (const name of left) {
    await rm(join(dist, name), { recursive: true, force: true }).catch(toError(dist))
  }
  return release
}

function toError(dist: string): (cause: unknown) => never {
  return (cause) => {
    const error = toToolError(cause)
    if (error?.code !== 'NOT_WRITABLE') throw cause
    throw new ToolError(error.code, `write to "${dist}": ${error.message}`, {
      hint: 'if it was made with sudo, remove it with sudo',
      cause,
    })
  }
}

/**
 * Moves a finished directory or file to its place, and what was there away.
 * @param made - its path inside `dir`
 * @param place - its final path
 * @param dir - the temporary directory of {@link withOutput}
 */
export async function publish(made: string, place: string, dir: string): Promise<void> {
  const old = await mkdtemp(join(dir, 'old-'))
  await rename(place, join(old, 'replaced')).catch(ignoreNotFound)
  await rename(made, place)
}
