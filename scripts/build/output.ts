// dist/, where nothing half made is ever seen: a build works in a directory of
// its own inside, and what is whole is renamed into place.
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'

import { lockDirectory } from '../../lib/io/directory-lock.ts'
import { ToolError, ignoreNotFound, toToolError } from '../../lib/core/errors.ts'

const TEMPORARY = '.build-'

/**
 * @param dist - made if it is not there
 * @param work - gets an empty directory in it, which is removed at the end
 * @throws NOT_WRITABLE before any work, BUSY while another build works there
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

// A build that was killed leaves its directory to the next one.
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
 * Puts a directory or file that is whole into its place, and what was there out of it.
 * @param made - its path inside `dir`
 * @param dir - from {@link withOutput}
 */
export async function publish(made: string, place: string, dir: string): Promise<void> {
  const old = await mkdtemp(join(dir, 'old-'))
  await rename(place, join(old, 'replaced')).catch(ignoreNotFound)
  await rename(made, place)
}
