// Child processes that image bytes flow through. Each is waited for with its whole
// process group, its exit status is checked, and the end of its stderr is part of
// the error: a plain pipeline would call a `docker save` that died half way a success.
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
import { leadGroup } from './process-group.ts'
import { firstFailure, isSecondaryError, markBrokenPipe, rootCause } from './root-cause.ts'

/** What was started, and comes to an end. */
export interface Ending {
  /** Settles when it has ended, with its group; rejects where it failed, INTERRUPTED where it was killed from here. */
  readonly exited: Promise<void>
  /** Ends it with its group; the hard way at once, or where it does not heed SIGTERM. */
  kill(signal?: 'SIGTERM' | 'SIGKILL'): void
}

/** A started child process. */
export interface Task extends Ending {
  readonly stdin: Writable
  readonly stdout: Readable
}

/** How to start a child, and how to tell of its failure. */
export interface TaskOptions {
  /** `inherit`: straight to the terminal, through stderr; else into another child's stdin, or a socket. */
  readonly stdout?: 'pipe' | 'inherit' | Writable
  /** Without it this process's own. */
  readonly env?: NodeJS.ProcessEnv
  /** What it writes to stderr without meaning it. */
  readonly ignoredStderr?: RegExp
  /** @returns the error for the end of its stderr, or for how it ended where it said nothing. */
  readonly toError: (stderr: string) => ToolError
}

const STDERR_BYTES = 4096
const KEPT_BYTES = 64 * 1024

/**
 * @param command - the program, looked for on PATH
 * @param args - handed over as they are, no shell between
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
  const stdin = keepInput(child)
  const group = leadGroup(child)
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = endOf(stderr + text, STDERR_BYTES)
  })
  let wasKilled = false
  const failure = (end: string): ToolError => {
    const said = options.ignoredStderr ? stderr.replaceAll(options.ignoredStderr, '') : stderr
    const error = options.toError(said.trim() || `it ended with ${end}`)
    const isPipe = end === 'SIGPIPE' || /broken pipe|connection reset/i.test(said)
    return isPipe ? markBrokenPipe(error) : error
  }
  const hasEnded = (): boolean => child.exitCode !== null || child.signalCode !== null
  const ending = Promise.withResolvers<void>()
  child.once('error', (cause) => ending.reject(startError(cause)))
  // What is left of its group was killed where it failed: nobody takes an early end
  // of the input for its end.
  child.once('exit', (code) => {
    if (code !== 0 || !group.isLeft()) stdin.destroy()
  })
  const settle = async (code: number | null, signal: string | null): Promise<void> => {
    await group.end()
    stdin.destroy()
    if (wasKilled) ending.reject(interrupted())
    else if (code === 0) ending.resolve()
    else ending.reject(failure(signal ?? `status ${code}`))
  }
  child.once('close', (code, signal) => void settle(code, signal))
  const end = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    await group.end(signal)
    // Whatever holds it now is out of reach.
    for (const stream of [stdin, child.stdout, child.stderr]) stream?.destroy()
    if (hasEnded()) return
    child.unref()
    ending.reject(interrupted())
  }
  ending.promise.catch(() => {})
  return {
    stdin,
    stdout: child.stdout ?? Readable.from([]),
    exited: ending.promise,
    kill(signal = 'SIGTERM') {
      // It does not close before its output is taken, even where it has ended.
      child.stdout?.destroy()
      if (!group.isLeft()) return
      // One that has failed did so by itself, whatever is left of its group.
      wasKilled ||= !hasEnded() || child.exitCode === 0
      void end(signal)
    },
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

// Node throws for some of the reasons, as for want of memory: whoever has started others
// waits for this one, too.
function failedChild(reason: ToolError): Task {
  const ending = Promise.withResolvers<void>()
  ending.promise.catch(() => {})
  ending.reject(reason)
  const stdin = new PassThrough()
  stdin.on('error', () => {}).destroy()
  return { stdin, stdout: Readable.from([]), exited: ending.promise, kill() {} }
}

// Node closes it when the leader has died, before anybody hears of that: what is left
// of the group would take that for the end of a tar.
function keepInput(child: ChildProcess): Writable {
  const stdin = child.stdin ?? new PassThrough()
  child.stdin = null
  return stdin
}

/**
 * @param keptBytes - about how much of it may wait to be read
 * @returns the output of a child that is not read at once: Node drops what nobody has begun to read when it ends
 */
export function keepOutput({ stdout }: Pick<Task, 'stdout'>, keptBytes = KEPT_BYTES): Readable {
  const kept = new PassThrough({ highWaterMark: keptBytes })
  pipeline(stdout, kept, () => {})
  return kept
}

/**
 * Waits for the work that is done with some children, and for them. When this
 * returns or throws, none of them is left.
 *
 * @param children - in the order of the bytes; the work may add more, whose ends it awaits
 * @param signal - ends them
 * @param work - what flows through them
 * @returns what the work came to
 * @throws the root of the failure: of a broken pipe, whatever broke it
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
        // Of what was ended from here, only the work knows why; it may wait for another.
        await endChildren(children)
        failure = await rootCause(work, failure)
      }
      // What fails after a signal fails because of it.
      throw signal.aborted ? interrupted() : failure
    })
    return result
  } finally {
    await endChildren(children)
    signal.removeEventListener('abort', stop)
  }
}

/**
 * Waits for works on the two sides of a child. What one of them fails of breaks the other's
 * pipe, which may be heard of first; what is known to be the reason is told at once: the
 * other may be waiting for a slow child.
 *
 * @throws the reason, or all where none of them may be it
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

/** Ends the children that are still running, and waits for all. */
export async function endChildren(children: readonly Ending[]): Promise<void> {
  children.forEach((child) => child.kill())
  await Promise.allSettled(children.map((child) => child.exited))
}
