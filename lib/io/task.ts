// What runs and ends: a child process, or a request that behaves like one.
import type { Readable, Writable } from 'node:stream'

/** Something that was started, and ends. */
export interface Ending {
  /**
   * Resolves when it has ended with its process group. Rejects if it failed; with INTERRUPTED
   * if this process killed it.
   */
  readonly exited: Promise<void>
  /** Ends it with its process group. SIGKILL also follows if it ignores SIGTERM. */
  kill(signal?: 'SIGTERM' | 'SIGKILL'): void
}

/** A started child process, or something that behaves like one. */
export interface Task extends Ending {
  readonly stdin: Writable
  /** Has to be read, or the task may not go on. */
  readonly stdout: Readable
}
