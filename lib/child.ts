// Child processes that image bytes flow through. Each is waited for, its exit
// status is checked, and the end of its stderr is part of the error: a plain
// pipeline would call a `docker save` that died half way a success.
import { spawn, type ChildProcess } from 'node:child_process'
import { PassThrough, pipeline, Readable, type Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'

import { ToolError, interrupted, isInterruption, isSystemError } from './errors.ts'

/** What was started, and comes to an end. */
export interface Ending {
  /** Settles when it has ended; rejects where it failed, INTERRUPTED where it was killed from here. */
  readonly exited: Promise<void>
  /** Ends it; the hard way at once, or where it does not heed SIGTERM. */
  kill(signal?: 'SIGTERM' | 'SIGKILL'): void
}

/** A started child process. */
export interface Child extends Ending {
  readonly stdin: Writable
  readonly stdout: Readable
}

/** How to start a child, and how to tell of its failure. */
export interface ChildOptions {
  /** `inherit`: straight to the terminal, through stderr; else into another child's stdin, or a socket. */
  readonly stdout?: 'pipe' | 'inherit' | Writable
  /** Without it this process's own. */
  readonly env?: NodeJS.ProcessEnv
  /** What it writes to stderr without meaning it. */
  readonly noise?: RegExp
  /** @returns the error for the end of its stderr, or for how it ended where it said nothing. */
  readonly explain: (stderr: string) => ToolError
}

// Children that died because another one did.
const BROKEN_PIPES = new WeakSet<ToolError>()

const STDERR_BYTES = 4096
const KEPT_BYTES = 64 * 1024
const PATIENCE_MS = 2000
// How long the end of a process may be heard of after that of its pipe; long,
// for a machine with much to do.
const ROOT_MS = 5000

/**
 * @param command - the program, looked for on PATH
 * @param args - handed over as they are, no shell between
 */
export function startChild(command: string, args: readonly string[], options: ChildOptions): Child {
  const { stdout: output = 'pipe' } = options
  const stdout = output === 'inherit' ? process.stderr : output
  const child: ChildProcess = spawn(command, args, {
    stdio: ['pipe', stdout, 'pipe'],
    env: options.env,
  })
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-STDERR_BYTES)
  })
  let wasKilled = false
  const failure = (end: string): ToolError => {
    const said = options.noise ? stderr.replaceAll(options.noise, '') : stderr
    const error = options.explain(said.trim() || `it ended with ${end}`)
    if (end === 'SIGPIPE' || /broken pipe|connection reset/i.test(said)) BROKEN_PIPES.add(error)
    return error
  }
  const exited = new Promise<void>((resolve, reject) => {
    child.once('error', (cause) => reject(options.explain(cause.message)))
    child.once('close', (code, signal) => {
      if (wasKilled) reject(interrupted())
      else if (code === 0) resolve()
      else reject(failure(signal ?? `status ${code}`))
    })
  })
  exited.catch(() => {})
  return {
    stdin: child.stdin ?? new PassThrough(),
    stdout: child.stdout ?? Readable.from([]),
    exited,
    kill(signal = 'SIGTERM') {
      // It does not close before its output is taken, even where it has ended.
      child.stdout?.destroy()
      if (child.exitCode !== null || child.signalCode !== null) return
      wasKilled = true
      child.kill(signal)
      const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS)
      exited.catch(() => {}).finally(() => clearTimeout(timer))
    },
  }
}

/**
 * @param keptBytes - about how much of it may wait to be read
 * @returns the output of a child that is not read at once: Node drops what nobody has begun to read when it ends
 */
export function keepOutput({ stdout }: Pick<Child, 'stdout'>, keptBytes = KEPT_BYTES): Readable {
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
      const isWanted = !signal.aborted && isSymptom(error)
      const failure = isWanted ? await firstFailure(exits(), await rootOf(work, error)) : error
      // The children may have had the terminal's Ctrl-C before this process did.
      throw signal.aborted ? interrupted() : failure
    })
    return result
  } finally {
    await endChildren(children)
    signal.removeEventListener('abort', stop)
  }
}

/** Ends the children that are still running, and waits for all. */
export async function endChildren(children: readonly Ending[]): Promise<void> {
  children.forEach((child) => child.kill())
  await Promise.allSettled(children.map((child) => child.exited))
}

// What the work found wrong, where a child that was ended for it was heard of
// first; a pipeline may tell several reasons at once.
async function rootOf(work: Promise<unknown>, first: unknown): Promise<unknown> {
  const reason = await inTime(
    work.then(
      () => first,
      (error: unknown) => error,
    ),
    first,
  )
  const reasons: unknown[] = reason instanceof AggregateError ? reason.errors : [reason]
  return reasons.find((each) => !isSymptom(each)) ?? reasons[0]
}

// A pipe breaks, or a tar stops short, because a process at its other end
// died: whose end is what there is to tell. It is known a moment later.
function isSymptom(error: unknown): boolean {
  if (error instanceof ToolError) {
    return error.code === 'TRUNCATED_TAR' || isInterruption(error) || BROKEN_PIPES.has(error)
  }
  if (error instanceof AggregateError) return true
  return isSystemError(error)
    ? PIPE_ENDED.has(error.code)
    : error instanceof Error && 'code' in error && STREAM_ENDED.has(error.code)
}

// The last: a write was on its way when the pipe was closed from here.
const PIPE_ENDED = new Set<unknown>(['EPIPE', 'ECONNRESET', 'ECANCELED'])
const STREAM_ENDED = new Set<unknown>(['ERR_STREAM_PREMATURE_CLOSE', 'ERR_STREAM_DESTROYED'])

async function firstFailure(exits: readonly Promise<void>[], otherwise: unknown): Promise<unknown> {
  if (!isSymptom(otherwise)) return otherwise
  const failures = exits.map(async (exit) => {
    const failure = await exit.catch((error: unknown) => error)
    if (!(failure instanceof ToolError) || isInterruption(failure) || BROKEN_PIPES.has(failure)) {
      throw new Error('it is not the root')
    }
    return failure
  })
  return inTime(
    Promise.any(failures).catch(() => otherwise),
    otherwise,
  )
}

async function inTime(awaited: Promise<unknown>, otherwise: unknown): Promise<unknown> {
  const timer = new AbortController()
  const late = delay(ROOT_MS, otherwise, { signal: timer.signal })
  return Promise.race([awaited, late]).finally(() => timer.abort())
}
