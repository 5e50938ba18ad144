// Finds the root cause among the failures of several children. A child that dies breaks the
// pipes of its neighbours, and their errors may arrive first.
import { setTimeout as delay } from 'node:timers/promises'

import { ToolError, isInterruption, isSystemError } from '../core/errors.ts'

// The errors of children that died of a broken pipe, because another child died.
const BROKEN_PIPES = new WeakSet<ToolError>()

// How long to wait for the exit of a process after its pipe has broken. It is long, because a
// busy host may report the exit late.
const ROOT_MS = 5000

/** Marks an error as that of a child that died because another one did. @returns the same error */
export function markBrokenPipe(error: ToolError): ToolError {
  BROKEN_PIPES.add(error)
  return error
}

/**
 * @param work - the work; its error may arrive after those of the children that it ended
 * @param first - the error that arrived first
 * @returns the first error of the work that is not secondary, else its first error; `first`
 *   if the work does not fail in time
 */
export async function rootCause(work: Promise<unknown>, first: unknown): Promise<unknown> {
  const reason = await inTime(
    work.then(
      () => first,
      (error: unknown) => error,
    ),
    first,
  )
  const reasons: unknown[] = reason instanceof AggregateError ? reason.errors : [reason]
  return reasons.find((each) => !isSecondaryError(each)) ?? reasons[0]
}

/**
 * A pipe breaks, or a tar stops before its end, if the process at the other end dies. The
 * error of that process is the one to show, and arrives a moment later.
 *
 * @returns whether another failure may be the cause of an error
 */
export function isSecondaryError(error: unknown): boolean {
  if (error instanceof ToolError) {
    return error.code === 'TRUNCATED_TAR' || isInterruption(error) || BROKEN_PIPES.has(error)
  }
  if (error instanceof AggregateError) return true
  return isSystemError(error)
    ? PIPE_ENDED.has(error.code)
    : error instanceof Error && 'code' in error && STREAM_ENDED.has(error.code)
}

// ECANCELED: this process closed the pipe while a write was on its way.
const PIPE_ENDED = new Set<unknown>(['EPIPE', 'ECONNRESET', 'ECANCELED'])
const STREAM_ENDED = new Set<unknown>(['ERR_STREAM_PREMATURE_CLOSE', 'ERR_STREAM_DESTROYED'])

/**
 * @param exits - the exits of all children
 * @param otherwise - the error so far
 * @returns the first failure of a child that is neither an interruption nor a broken pipe;
 *   `otherwise` if it is not secondary itself, or if there is no such failure in time
 */
export async function firstFailure(
  exits: readonly Promise<void>[],
  otherwise: unknown,
): Promise<unknown> {
  if (!isSecondaryError(otherwise)) return otherwise
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
