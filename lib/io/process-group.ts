// Ends a child together with all the processes that it started. A program may be a script
// that runs the real program and waits for it. A signal to the script alone leaves the
// real program running, with the pipes of the script. So each child leads a process group
// of its own, and signals go to the group.
import type { ChildProcess } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

/** A child that was started with `detached`, and the processes that it started in its group. */
export interface ProcessGroup {
  /** @returns whether a process of the group is left. */
  readonly isLeft: () => boolean
  /**
   * Ends all processes of the group; sends SIGKILL to those that are left a while after
   * SIGTERM.
   * @returns when no process is left, or a while after SIGKILL: a process that waits in
   *   the kernel may outlive it
   */
  readonly end: (signal?: 'SIGTERM' | 'SIGKILL') => Promise<void>
}

/** How long a group may take to end after SIGTERM. */
export const KILL_TIMEOUT_MS = 2000
const MAX_WAIT_MS = 5000

// The groups that are left, as the process IDs of their leaders.
const groups = new Set<number>()

/**
 * Keeps track of the group of a child. If the child fails, or a signal ends it, the rest
 * of its group gets SIGKILL at once.
 *
 * @param child - a child that was just started, with `detached`
 * @returns its group
 */
export function leadGroup(child: ChildProcess): ProcessGroup {
  const { pid } = child
  // The child could not be started; its `error` event says why.
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
      // A group of dead processes still exists until their parent asks for their status.
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

/** Sends a signal to all groups that are left. */
export function signalGroups(signal: NodeJS.Signals): void {
  for (const pid of groups) send(pid, signal)
}

const MAX_PAUSE_MS = 50

/** @returns whether the group exists. */
function send(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-pid, signal)
  } catch (error) {
    // EPERM means that all its processes belong to another user, as those of sudo do.
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH')
  }
}

// Dead orphans stay in the list of processes until process 1 asks for their status. In
// some containers it never does.
function hasLiving(group: number): boolean {
  return readdirSync('/proc').some((name) => /^\d/.test(name) && isLivingIn(name, group))
}

function isLivingIn(pid: string, group: number): boolean {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The program name, in brackets, may hold any character.
    const [state = '', , groupOf] = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return Number(groupOf) === group && !'ZX'.includes(state)
  } catch {
    return false // the process has ended
  }
}
