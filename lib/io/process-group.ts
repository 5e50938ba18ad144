// A program may be a script that runs the real one and waits for it: a signal to
// the script alone leaves that running, with the script's pipes. So each child leads
// a process group of its own, and to end it means to end the group.
import type { ChildProcess } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

/** A child that was started with `detached`, and all that it started in its group. */
export interface ProcessGroup {
  /** @returns whether a process of it is left. */
  readonly isLeft: () => boolean
  /**
   * Ends all of its processes, those that do not heed SIGTERM by SIGKILL.
   * @returns when none is left, or a while after SIGKILL: the kernel may hold one
   */
  readonly end: (signal?: 'SIGTERM' | 'SIGKILL') => Promise<void>
}

/** How long SIGTERM is given. */
export const KILL_TIMEOUT_MS = 2000
const MAX_WAIT_MS = 5000

// By the process IDs of their leaders.
const groups = new Set<number>()

/**
 * Where the leader fails, or a signal ends it, what it leaves is killed at once.
 *
 * @param child - just started, with `detached`
 */
export function leadGroup(child: ChildProcess): ProcessGroup {
  const { pid } = child
  // It could not be started, which its `error` tells.
  if (pid === undefined) return { isLeft: () => false, end: async () => {} }
  groups.add(pid)
  const isLeft = (): boolean => {
    if (groups.has(pid) && !send(pid, 0)) groups.delete(pid)
    return groups.has(pid)
  }
  const isLeftAfter = async (maxMs: number): Promise<boolean> => {
    const start = performance.now()
    for (let waitMs = 1; isLeft(); waitMs = Math.min(2 * waitMs, MAX_PAUSE_MS)) {
      const elapsedMs = performance.now() - start
      // The number of a group that has dead processes only is still taken.
      if (elapsedMs > maxMs || (elapsedMs > MAX_PAUSE_MS && !hasLiving(pid))) break
      await delay(waitMs)
    }
    return isLeft()
  }
  child.once('exit', (status) => {
    if (isLeft() && status !== 0) send(pid, 'SIGKILL')
  })
  return {
    isLeft,
    async end(signal = 'SIGTERM') {
      if (!isLeft()) return
      send(pid, signal)
      if (signal === 'SIGTERM' && !(await isLeftAfter(KILL_TIMEOUT_MS))) return
      send(pid, 'SIGKILL')
      await isLeftAfter(MAX_WAIT_MS)
      groups.delete(pid)
    },
  }
}

/** Signals all groups that are left. */
export function signalGroups(signal: NodeJS.Signals): void {
  for (const pid of groups) send(pid, signal)
}

const MAX_PAUSE_MS = 50

/** @returns whether there is such a group. */
function send(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-pid, signal)
  } catch (error) {
    // EPERM: all that is left of it is another user's, as sudo is.
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH')
  }
}

// Orphans stay in the list of processes until the first process has asked for their
// status, which in some containers it never does.
function hasLiving(group: number): boolean {
  return readdirSync('/proc').some((name) => /^\d/.test(name) && isLivingIn(name, group))
}

function isLivingIn(pid: string, group: number): boolean {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The name, in brackets, may have anything in it.
    const [state = '', , groupOf] = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return Number(groupOf) === group && !'ZX'.includes(state)
  } catch {
    return false // it has ended
  }
}
