// Lets one run at a time write to a directory. The lock is a file in that directory, so
// that runs on other hosts and in containers see it too. Its holder renews the file's
// time. The lock is free if its process has ended, or if nobody renews it any more; then
// the next run takes it over.
import { lstat, readdir, rm } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { ToolError, ignoreNotFound } from '../core/errors.ts'
import { isLockTemporary, labelOf } from './atomic-file.ts'
import {
  createLock,
  fileSystemNow,
  isUnchanged,
  readLock,
  renewLock,
  replaceLock,
  takeAway,
  type FoundLock,
} from './lock-file.ts'
import {
  describeHolder,
  formatHolder,
  isLabelOfEnded,
  nameHolder,
  stateOf,
  type LockHolder,
} from './lock-holder.ts'

/** The name of the lock file. */
export const LOCK_NAME = '.dgx-offline-images.lock'

const RENEW_MS = 5000
const FREE_AFTER_MS = 60_000
// How long a run watches a lock that looks old: a living holder renews it in this time.
const WATCH_MS = 12_000
// These tries and pauses last longer than it takes a run to take over a lock, or to
// restore a lock that it moved by mistake.
const MAX_TRIES = 20
const RETRY_MS = 50

/** The locks that this process holds, by the absolute paths of their directories. */
const held = new Map<string, LockHolder>()

/** How to take a lock. */
export interface LockOptions {
  /** Is called with the reason if taking the lock takes a while. */
  readonly onWait?: (reason: string) => void
  /** For how long an old lock has to stay unchanged before it counts as free. */
  readonly watchMs?: number
}

interface Taking extends Required<LockOptions> {
  readonly path: string
  readonly holder: LockHolder
}

/**
 * Locks a directory, and renews the lock until it is released.
 *
 * @param dir - an existing directory
 * @param program - the name of this program; a run that finds the lock shows it
 * @returns a function that releases the lock
 * @throws BUSY if another run holds the lock; the message says who, where and since when
 */
export async function lockDirectory(
  dir: string,
  program: string,
  { onWait = () => {}, watchMs = WATCH_MS }: LockOptions = {},
): Promise<() => Promise<void>> {
  const path = join(dir, LOCK_NAME)
  const holder = await describeHolder(program)
  await take({ path, holder, onWait, watchMs })
  const key = resolve(dir)
  held.set(key, holder)
  const renewing = new Set<Promise<void>>()
  // A renewal that waits for a slow disk does not delay the next one.
  const timer = setInterval(() => {
    const renewal = renewLock(path, holder).catch(() => {})
    renewing.add(renewal)
    void renewal.finally(() => renewing.delete(renewal))
  }, RENEW_MS).unref()
  return async () => {
    clearInterval(timer)
    await Promise.all(renewing)
    held.delete(key)
    await takeAway(path, formatHolder(holder))
  }
}

/**
 * Checks the lock; the caller does so before each change in the directory. A run that was
 * suspended for long may have lost its lock, and must not change what another run writes.
 * Does nothing if this process has not locked the directory.
 *
 * @throws BUSY if this process locked the directory, and has lost the lock
 */
export async function checkLock(dir: string): Promise<void> {
  const holder = held.get(resolve(dir))
  if (!holder) return
  const path = join(dir, LOCK_NAME)
  let found = await readLock(path)
  // Another run may have moved the lock by mistake; it restores the lock at once.
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

async function take(taking: Taking): Promise<void> {
  const { path, holder } = taking
  for (let n = 0; n < MAX_TRIES; n++) {
    if (await createLock(path, holder)) return
    const found = await readLock(path)
    if (!found) continue
    if (!(await isFree(taking, found))) throw await busy(path, found)
    if (await takeOver(taking, found)) return
    await sleep(RETRY_MS)
  }
  throw new ToolError('BUSY', `write to "${dirname(path)}": other runs want to write there`, {
    hint: 'wait for their end, or use another --dir',
  })
}

// One run at a time may replace a free lock; a second lock file sees to that. The run
// reads the free lock once more before it replaces it: otherwise a slow run would replace
// the new lock of a faster run.
async function takeOver(taking: Taking, free: FoundLock): Promise<boolean> {
  const { path, holder } = taking
  const turn = `${path}.takeover`
  if (!(await createLock(turn, holder))) {
    const other = await readLock(turn)
    // The run that made this second lock was killed before it could remove it.
    if (other && (await isFree(taking, other, turn))) await takeAway(turn, other.text)
    return false
  }
  try {
    return isUnchanged(free, await readLock(path)) && (await replaceLock(path, holder))
  } finally {
    await takeAway(turn, formatHolder(holder))
  }
}

// A holder on another host or in another container cannot be seen: it counts as ended if
// nobody renews its lock while this run watches. The age of the lock only says whether to
// watch at all. It proves nothing, because the clocks of two hosts may differ by hours.
async function isFree(
  { onWait, watchMs, path: lock }: Taking,
  found: FoundLock,
  path = lock,
): Promise<boolean> {
  if (!found.isFile) return false
  const state = found.holder ? await stateOf(found.holder) : 'unseen'
  if (state !== 'unseen') return state === 'ended'
  const ageMs = (await fileSystemNow(dirname(path))) - found.changedMs
  if (Math.abs(ageMs) <= FREE_AFTER_MS) return false
  onWait(`looking for ${watchMs / 1000} s whether a run still writes here: its lock looks old`)
  await sleep(watchMs)
  return isUnchanged(found, await readLock(path))
}

/**
 * Removes temporary lock files that killed runs left. Keeps new ones, which may be in use,
 * unless the process in their name has ended.
 */
export async function removeOldLockFiles(dir: string): Promise<void> {
  const names = (await readdir(dir)).filter(isLockTemporary)
  if (names.length === 0) return
  const nowMs = await fileSystemNow(dir)
  for (const name of names) {
    const found = await lstat(join(dir, name)).catch(ignoreNotFound)
    const isOld = found && nowMs - found.mtimeMs > FREE_AFTER_MS
    if (isOld || (await isLabelOfEnded(labelOf(name)))) await rm(join(dir, name), { force: true })
  }
}

async function busy(path: string, { holder, isFile }: FoundLock): Promise<ToolError> {
  const dir = dirname(path)
  const free = `it is free ${FREE_AFTER_MS / 1000} s after its run ended`
  if (!isFile) {
    return new ToolError('BUSY', `write to "${dir}": "${path}" is not a plain file`, {
      hint: 'it has the name of the lock of this directory: remove it',
    })
  }
  if (!holder) {
    return new ToolError('BUSY', `write to "${dir}": locked, "${path}" does not say by whom`, {
      hint: `wait: ${free}; or remove it if no run writes there`,
    })
  }
  const message = `write to "${dir}": locked by another run (${await nameHolder(holder)})`
  const isSeen = (await stateOf(holder)) === 'running'
  const more = `; if that run was killed, ${free}: "${path}"`
  const hint = `wait for its end, or use another --dir${isSeen ? '' : more}`
  return new ToolError('BUSY', message, { hint })
}
