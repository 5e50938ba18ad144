// One writing run a directory, wherever it runs: the lock is a file in the
// directory, so that a run on another host or in a container sees it too. Who
// holds it renews its time; a lock of a process that has ended, or that nobody
// renews any more, is free, and the next run takes it over.
import { link, open, readFile, rename, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { remove } from 'fs-extra/esm'

import { createAtomicFile, temporaryPath } from './atomic-file.ts'
import { ToolError, isAbsent, isSystemError, nothing } from './errors.ts'
import {
  describeHolder,
  formatHolder,
  hasEnded,
  nameHolder,
  parseHolder,
  type LockHolder,
} from './lock-holder.ts'

/** The name of the lock file. */
export const LOCK_NAME = '.dgx-offline-images.lock'

const RENEW_MS = 10_000
const FREE_AFTER_MS = 60_000
// A holder that takes it over, or puts back what it took by mistake, needs no longer.
const MAX_TRIES = 20
const RETRY_MS = 50
const SETTLE_MS = 200
const MAX_BYTES = 4096

/** The locks of this process, by the paths of their directories. */
const held = new Map<string, LockHolder>()

/**
 * @param dir - an existing directory
 * @param program - who wants to write there, for those who are refused meanwhile
 * @returns a function that lets go
 * @throws BUSY where another run has it, which says who, where and since when
 */
export async function lockDirectory(dir: string, program: string): Promise<() => Promise<void>> {
  const path = join(dir, LOCK_NAME)
  const holder = await describeHolder(program)
  await take(path, holder)
  const key = resolve(dir)
  held.set(key, holder)
  let renewing = Promise.resolve()
  const timer = setInterval(() => {
    renewing = renewing.then(() => renew(path, holder)).catch(() => {})
  }, RENEW_MS).unref()
  return async () => {
    clearInterval(timer)
    await renewing
    held.delete(key)
    await takeAway(path, formatHolder(holder))
  }
}

/**
 * To be called before each change in a directory. A run that was suspended for
 * long may have lost its lock; it must not change what another run writes now.
 *
 * @throws BUSY where this process locked the directory, and has it no more
 */
export async function checkLock(dir: string): Promise<void> {
  const holder = held.get(resolve(dir))
  if (!holder) return
  const path = join(dir, LOCK_NAME)
  let found = await readLock(path)
  // Another run that took it by mistake puts it back at once.
  for (let n = 1; !found && n < MAX_TRIES; n++) {
    await sleep(RETRY_MS)
    found = await readLock(path)
  }
  if (found?.holder?.nonce === holder.nonce) return
  const by = found?.holder && ` to another run (${await nameHolder(found.holder)})`
  throw new ToolError('BUSY', `write to "${dir}": lost its lock${by ?? ''}`, {
    hint: 'it was suspended for long, or somebody removed the lock: run it again once no other run writes there',
  })
}

async function take(path: string, holder: LockHolder): Promise<void> {
  for (let n = 0; n < MAX_TRIES; n++) {
    if ((await create(path, holder)) && (n === 0 || (await isSettled(path, holder)))) return
    const found = await readLock(path)
    if (!found) continue
    if (!(await isFree(path, found))) throw await busy(path, found)
    await takeAway(path, found.text)
  }
  throw new ToolError('BUSY', `write to "${dirname(path)}": other runs want to write there`, {
    hint: 'wait for their end, or use another --dir',
  })
}

// Another run that saw the dead lock too may have taken this one in its place.
async function isSettled(path: string, { nonce }: LockHolder): Promise<boolean> {
  await sleep(SETTLE_MS)
  return (await readLock(path))?.holder?.nonce === nonce
}

/** A lock file; `holder` is undefined where it does not tell. */
interface FoundLock {
  readonly text: string | undefined
  readonly holder: LockHolder | undefined
  readonly changedMs: number
}

async function readLock(path: string): Promise<FoundLock | undefined> {
  const found = await stat(path).catch(nothing)
  if (!found) return undefined
  const isShort = found.isFile() && found.size <= MAX_BYTES
  const text = isShort ? await readFile(path, 'utf8').catch(() => undefined) : undefined
  return { text, holder: parseHolder(text ?? ''), changedMs: found.mtimeMs }
}

async function isFree(path: string, { holder, changedMs }: FoundLock): Promise<boolean> {
  if (holder && (await hasEnded(holder))) return true
  return (await fileSystemNow(dirname(path))) - changedMs > FREE_AFTER_MS
}

// The clocks of two hosts may differ by more than a lock lives.
async function fileSystemNow(dir: string): Promise<number> {
  const probe = await createAtomicFile(dir)
  try {
    await probe.handle.writeFile('\n')
    await probe.handle.sync()
    return (await probe.handle.stat()).mtimeMs
  } finally {
    await probe.discard()
  }
}

// A link is there at once with all that is in it, and only one process can make it.
async function create(path: string, holder: LockHolder): Promise<boolean> {
  const text = formatHolder(holder)
  const whole = await temporaryPath(dirname(path))
  try {
    await writeNew(whole, text)
    await link(whole, path)
    return true
  } catch (error) {
    if (!isSystemError(error) || error.path !== whole || error.syscall !== 'link') throw error
    // Over NFS a link may be made, and its answer lost.
    if (error.code === 'EEXIST') return (await readLock(path))?.holder?.nonce === holder.nonce
    if (!NO_LINKS.test(error.code)) throw error
    return createWithoutLinks(path, text)
  } finally {
    await remove(whole)
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

// By writing, so that the file system's own clock counts.
async function renew(path: string, holder: LockHolder): Promise<void> {
  const file = await open(path, 'r+')
  try {
    const text = formatHolder(holder)
    if ((await file.readFile('utf8')) !== text) return
    await file.write(text, 0)
    await file.sync()
  } finally {
    await file.close()
  }
}

/**
 * Removes a lock file, and no other that took its place meanwhile.
 *
 * @param text - what is in it
 */
async function takeAway(path: string, text: string | undefined): Promise<void> {
  const aside = await temporaryPath(dirname(path))
  try {
    await rename(path, aside)
  } catch (error) {
    if (isAbsent(error)) return
    throw error
  }
  const moved = await readLock(aside)
  if (moved && moved.text !== text) await putBack(aside, path)
  await remove(aside)
}

// Where there is another by now, whoever held this one finds out before its next change.
async function putBack(aside: string, path: string): Promise<void> {
  await link(aside, path).catch(async (error: unknown) => {
    if (!isSystemError(error) || !NO_LINKS.test(error.code)) return
    await rename(aside, path)
  })
}

async function busy(path: string, { holder }: FoundLock): Promise<ToolError> {
  const dir = dirname(path)
  const free = `it is free once it has not been renewed for ${FREE_AFTER_MS / 1000} s`
  if (!holder) {
    return new ToolError('BUSY', `write to "${dir}": locked, "${path}" does not say by whom`, {
      hint: `wait: ${free}; or remove it if no run writes there`,
    })
  }
  const message = `write to "${dir}": locked by another run (${await nameHolder(holder)})`
  return new ToolError('BUSY', message, { hint: 'wait for its end, or use another --dir' })
}
