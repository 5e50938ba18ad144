// Finds whether a build has anything to do. The stamp, a file beside the executables, has the
// digest of all that they were made from. A build removes it before it replaces an
// executable, and writes it last.
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'

import { ignoreNotFound } from '../../lib/core/errors.ts'
import { parseChecksums } from '../../lib/delivery/sha256sums.ts'

/** The file in dist/ with the digest of the inputs. */
export const STAMP = 'inputs.sha256'

/** @returns a digest, in hex, of the bundle, the lock file and the sources of the build. */
export async function digestInputs(root: string, code: string): Promise<string> {
  const hash = createHash('sha256').update(code)
  const build = join(root, 'scripts/build')
  const entries = await readdir(build, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  const own = files.map((entry) => join(entry.parentPath, entry.name)).toSorted()
  for (const file of [join(root, 'package-lock.json'), ...own]) hash.update(await readFile(file))
  return hash.digest('hex')
}

/** @returns whether dist/ is as a build from these inputs left it: no file is missing or changed. */
export async function isUpToDate(
  dist: string,
  inputs: string,
  platforms: readonly string[],
): Promise<boolean> {
  const stamp = await readFile(join(dist, STAMP), 'utf8').catch(ignoreNotFound)
  if (stamp !== `${inputs}\n`) return false
  const whole = await Promise.all(platforms.map((platform) => isWhole(join(dist, platform))))
  return whole.every(Boolean)
}

async function isWhole(dir: string): Promise<boolean> {
  const sums = await readFile(join(dir, 'SHA256SUMS'), 'utf8').catch(ignoreNotFound)
  for (const [name, want] of parseChecksums(sums ?? '')) {
    const found = await sha256(join(dir, name)).catch(ignoreNotFound)
    if (found !== want) return false
  }
  return sums !== undefined
}

/** @returns the sha256 of a file, in hex. */
export async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file, { highWaterMark: 1024 ** 2 }), hash)
  return hash.digest('hex')
}
