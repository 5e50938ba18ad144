// Makes, renews and removes the file of a lock. Another run, even on another host, may do
// the same at any moment. So a lock file appears whole or not at all, and a run never
// removes the lock of another run.
import { link, lstat, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'

import { isNotFound, isSystemError, ignoreNotFound } from '../core/errors.ts'
import { temporaryPath } from './atomic-file.ts'
import { formatHolder, parseHolder, type LockHolder } from './lock-holder.ts'

const MAX_BYTES = 4096

/** A lock file; `holder` is undefined if the file does not name one. */
export interface FoundLock {
  readonly text: string | undefined
  readonly holder: LockHolder | undefined
  readonly isFile: boolean
  readonly changedMs: number
}

/** @returns the lock file of that path, or undefined if there is none */
export async function readLock(path: string): Promise<FoundLock | undefined> {
  const found = await lstat(path).catch(ignoreNotFound)
  if (!found) return undefined
  const isShort = found.isFile() && found.size <= MAX_BYTES
  const text = isShort ? await readFile(path, 'utf8').catch(() => undefined) : undefined
  const holder = parseHolder(text ?? '')
  return { text, holder, isFile: found.isFile(), changedMs: found.mtimeMs }
}

/** @returns whether a lock file has the same text and time: nobody has renewed it. */
export function isUnchanged(one: FoundLock, other: FoundLock | undefined): boolean {
  return one.text === other?.text && one.changedMs === other?.changedMs
}

/**
 * Makes a lock file as a hard link to a finished temporary file: the link has its whole
 * content from the start, and only one process can make it.
 *
 * @returns whether this call made the lock file; false if there is one already
 */
export async function createLock(path: string, holder: LockHolder): Promise<boolean> {
  const text = formatHolder(holder)
  const whole = await temporaryPath(dirname(path), 'lock')
  try {
    await writeNew(whole, text)
    await link(whole, path)
    return true
  } catch (error) {
    if (!isSystemError(error) || error.path !== whole || error.syscall !== 'link') throw error
    // Over NFS the link may be made although the answer gets lost and the retry fails.
    if (error.code === 'EEXIST') return (await readLock(path))?.holder?.nonce === holder.nonce
    // Another run removed the temporary file: it took it for one of a killed run.
    if (error.code === 'ENOENT') return false
    if (!NO_LINKS.test(error.code)) throw error
    return createWithoutLinks(path, text)
  } finally {
    await rm(whole, { force: true })
  }
}

const NO_LINKS = /^(?:EPERM|ENOTSUP|EOPNOTSUPP|ENOSYS|EMLINK)$/

async function createWithoutLinks(path: string, text: string): Promise<boolean> {
  try {
    await writeNew(path, text)
    return true
  } catch (error) {
    if (isSystemError(error) && error.code === 'EEXIST') return false
    throw error
  }
}

async function writeNew(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o644)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
}

/**
 * Renews the time of a lock file, if it still names this holder. It writes the same text
 * again, so that the clock of the file system counts. It does not sync: other hosts see
 * the new time after the file is closed, and a slow disk must not delay the renewal.
 */
export async function renewLock(path: string, holder: LockHolder): Promise<void> {
  const file = await open(path, 'r+')
  try {
    const text = formatHolder(holder)
    if ((await file.readFile('utf8')) !== text) return
    await file.write(text, 0)
  } finally {
    await file.close()
  }
}

/**
 * Removes a lock file. Keeps a lock of another run that took its place meanwhile.
 *
 * @param text - the content of the lock file to remove
 */
export async function takeAway(path: string, text: string | undefined): Promise<void> {
  if ((await readLock(path))?.text !== text) return
  const aside = await temporaryPath(dirname(path), 'lock')
  await rename(path, aside).catch(ignoreNotFound)
  const moved = await readLock(aside)
  if (moved && moved.text !== text) await putBack(aside, path)
  await rm(aside, { force: true })
}

// If a third run has made a lock here meanwhile, the moved lock is lost. Its holder
// notices that before its next change (see `checkLock`).
async function putBack(aside: string, path: string): Promise<void> {
  await link(aside, path).catch(async (error: unknown) => {
    if (!isSystemError(error) || !NO_LINKS.test(error.code)) return
    await rename(aside, path)
  })
}

/**
 * Puts a new lock file in the place of a free one.
 *
 * @returns false if another run removed the temporary file
 */
export async function replaceLock(path: string, holder: LockHolder): Promise<boolean> {
  const whole = await temporaryPath(dirname(path), 'lock')
  try {
    await writeNew(whole, formatHolder(holder))
    await rename(whole, path)
    return true
  } catch (error) {
    if (isNotFound(error)) return false // the temporary file is gone, as in `createLock`
    throw error
  } finally {
    await rm(whole, { force: true })
  }
}

/** @returns the time on the clock of the file system, in ms since 1970 */
export async function fileSystemNow(dir: string): Promise<number> {
  const probe = await temporaryPath(dir, 'lock')
  try {
    await writeNew(probe, '\n')
    return (await lstat(probe)).mtimeMs
  } finally {
    await rm(probe, { force: true })
  }
}
