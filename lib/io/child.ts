// Starts the child processes that the bytes of images flow through. A child is awaited with its
// whole process group, its exit status is checked, and the end of its stderr goes into the
// error. A plain pipeline would take a `docker save` that died halfway for a success.
import { spawn, type ChildProcess } from 'node:child_process'
import { PassThrough, pipeline, Readable, type Writable } from 'node:stream'

import { endOf } from '../core/credentials.ts'
import {
  ToolError,
  interrupted,
  isInterruption,
  isSystemError,
  memoryError,
} from '../core/errors.ts'
import { leadGroup, type ProcessGroup } from './process-group.ts'
import { firstFailure, isSecondaryError, markBrokenPipe, rootCause } from './root-cause.ts'
import type { Ending, Task } from './task.ts'

/** How to start a child, and how to describe its failure. */
export interface TaskOptions {
  /**
   * `inherit` writes to the terminal, through stderr. A stream is the stdin of another child,
   * or a socket.
   */
  readonly stdout?: 'pipe' | 'inherit' | Writable
  /** The environment; by default that of this process. */
  readonly env?: NodeJS.ProcessEnv
  /** Text on stderr that is not part of an error. */
  readonly ignoredStderr?: RegExp
  /**
   * @returns the error for the end of its stderr; if that is empty, for a text that says how it
   *   ended
   */
  readonly toError: (stderr: string) => ToolError
}

const STDERR_BYTES = 4096
const KEPT_BYTES = 64 * 1024

/**
 * @param command - the program, found on PATH
 * @param args - passed unchanged; no shell is used
 * @returns the child. If it cannot be started, `exited` rejects.
 */
export function startChild(command: string, args: readonly string[], options: TaskOptions): Task {
  const startError = (cause: Error): ToolError =>
    memoryError(`start "${command}"`, cause) ?? options.toError(cause.message)
  let child: ChildProcess
  try {
    child = spawnLeader(command, args, options)
  } catch (error) {
    if (!isSystemError(error)) throw error
    return failedChild(startError(error))
  }
  const running = new RunningChild(child, options)
  child.once('error', (cause) => running.fail(startError(cause)))
  // A task is a plain object, of which callers make others.
  return {
    stdin: running.stdin,
    stdout: child.stdout ?? Readable.from([]),
    exited: running.exited,
    kill: (signal) => running.kill(signal),
  }
}

/** A child from its start to the end of its process group. */
class RunningChild {
  readonly stdin: Writable
  readonly #child: ChildProcess
  readonly #group: ProcessGroup
  readonly #options: TaskOptions
  readonly #ending = Promise.withResolvers<void>()
  #stderr = ''
  #wasKilled = false

  constructor(child: ChildProcess, options: TaskOptions) {
    this.#child = child
    this.#options = options
    this.stdin = keepInput(child)
    this.#group = leadGroup(child)
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = endOf(this.#stderr + text, STDERR_BYTES)
    })
    // If the leader failed, the rest of its group was killed just before: so no process takes
    // the end of this input for the end of the tar.
    child.once('exit', (code) => {
      if (code !== 0 || !this.#group.isLeft()) this.stdin.destroy()
    })
    child.once('close', (code, signal) => void this.#settle(code, signal))
    this.exited.catch(() => {})
  }

  get exited(): Promise<void> {
    return this.#ending.promise
  }

  fail(reason: ToolError): void {
    this.#ending.reject(reason)
  }

  kill(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): void {
    // A child does not emit `close` before its output is read or destroyed, even if it has
    // ended.
    this.#child.stdout?.destroy()
    if (!this.#group.isLeft()) return
    // A child that has already failed keeps its own error, even if a part of its group is
    // left.
    this.#wasKilled ||= !this.#hasEnded() || this.#child.exitCode === 0
    void this.#end(signal)
  }

  #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  async #settle(code: number | null, signal: string | null): Promise<void> {
    await this.#group.end()
    this.stdin.destroy()
    if (this.#wasKilled) this.fail(interrupted())
    else if (code === 0) this.#ending.resolve()
    else this.fail(this.#failure(signal ?? `status ${code}`))
  }

  #failure(end: string): ToolError {
    const { ignoredStderr, toError } = this.#options
    const said = ignoredStderr ? this.#stderr.replaceAll(ignoredStderr, '') : this.#stderr
    const error = toError(said.trim() || `it ended with ${end}`)
    const isPipe = end === 'SIGPIPE' || /broken pipe|connection reset/i.test(said)
    return isPipe ? markBrokenPipe(error) : error
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    await this.#group.end(signal)
    // A process outside the group may still hold the streams; it cannot be ended, so it is not
    // awaited.
    for (const stream of [this.stdin, this.#child.stdout, this.#child.stderr]) stream?.destroy()
    if (this.#hasEnded()) return
    this.#child.unref()
    this.fail(interrupted())
  }
}

function spawnLeader(
  command: string,
  args: readonly string[],
  { stdout = 'pipe', env }: TaskOptions,
): ChildProcess {
  const output = stdout === 'inherit' ? process.stderr : stdout
  return spawn(command, args, { stdio: ['pipe', output, 'pipe'], env, detached: true })
}

// Node throws for some failures, for example if memory is short. The caller may have started
// other children and awaits all of them, so this returns a child that has failed.
function failedChild(reason: ToolError): Task {
  const ending = Promise.withResolvers<void>()
  ending.promise.catch(() => {})
  ending.reject(reason)
  const stdin = new PassThrough()
  stdin.on('error', () => {}).destroy()
  return { stdin, stdout: Readable.from([]), exited: ending.promise, kill() {} }
}

// Takes stdin away from Node, which closes it when the leader dies, before the `exit` event.
// The rest of the group would take that for the end of a tar.
function keepInput(child: ChildProcess): Writable {
  const stdin = child.stdin ?? new PassThrough()
  child.stdin = null
  return stdin
}

/**
 * @param keptBytes - about how many bytes may wait to be read
 * @returns the output of a child, for a caller that reads it later: Node drops output that
 *   nobody has begun to read when the child ends
 */
export function keepOutput({ stdout }: Pick<Task, 'stdout'>, keptBytes = KEPT_BYTES): Readable {
  const kept = new PassThrough({ highWaterMark: keptBytes })
  pipeline(stdout, kept, () => {})
  return kept
}

/**
 * Waits for some work, and for the children that it uses. When this returns or throws, all of
 * them have ended.
 *
 * @param children - in the order of the bytes. The work may add more, and has to wait for their
 *   ends itself.
 * @param signal - ends the children
 * @param work - uses the children
 * @returns the result of the work
 * @throws the root cause: if a pipe broke, the error that broke it
 */
export async function withChildren<T>(
  children: readonly Ending[],
  signal: AbortSignal,
  work: Promise<T>,
): Promise<T> {
  const stop = (): void => children.forEach((child) => child.kill())
  signal.addEventListener('abort', stop)
  if (signal.aborted) stop()
  const exits = (): Promise<void>[] => children.map((child) => child.exited)
  try {
    const [result] = await Promise.all([work, ...exits()]).catch(async (error: unknown) => {
      const isWanted = !signal.aborted && isSecondaryError(error)
      let failure = isWanted ? await firstFailure(exits(), await rootCause(work, error)) : error
      if (isInterruption(failure)) {
        // The children were ended from here, so only the work knows why; it may still wait for
        // another child.
        await endChildren(children)
        failure = await rootCause(work, failure)
      }
      // A failure after the signal is a consequence of the signal.
      throw signal.aborted ? interrupted() : failure
    })
    return result
  } finally {
    await endChildren(children)
    signal.removeEventListener('abort', stop)
  }
}

/**
 * Waits for the work on both sides of a child. A failure on one side breaks the pipe of the
 * other, which may be reported first. An error that is certainly a root cause is thrown at
 * once, because the other side may wait for a slow child.
 *
 * @throws the root cause, or all errors if none of them is certainly one
 */
export async function allWork(...promises: readonly Promise<unknown>[]): Promise<void> {
  const reasons: unknown[] = []
  const told = Promise.withResolvers<never>()
  const all = promises.map((promise) =>
    promise.catch((error: unknown) => {
      reasons.push(error)
      if (!isSecondaryError(error)) told.reject(error)
    }),
  )
  await Promise.race([Promise.all(all), told.promise])
  if (reasons.length > 0) throw new AggregateError(reasons)
}

/** Ends the children that still run, and waits for all of them. */
export async function endChildren(children: readonly Ending[]): Promise<void> {
  children.forEach((child) => child.kill())
  await Promise.allSettled(children.map((child) => child.exited))
}
