// Of the failures of several children, the one that the others followed from: a child
// that dies breaks the pipes of its neighbours, which may be heard of first.
import { setTimeout as delay } from 'node:timers/promises'

import { ToolError, isInterruption, isSystemError } from '../core/errors.ts'

// Children that died because another one did.
const BROKEN_PIPES = new WeakSet<ToolError>()

// How long the end of a process may be heard of after that of its pipe; long,
// for a machine with much to do.
const ROOT_MS = 5000

/** Notes that a child died because another one did. @returns its error */
export function markBrokenPipe(error: ToolError): ToolError {
  BROKEN_PIPES.add(error)
  return error
}

/**
 * @param work - may say what it found wrong later than a child that was ended for it
 * @param first - what was heard of first
 * @returns the reason; a pipeline may tell several at once
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
 * A pipe breaks, or a tar stops short, because a process at its other end
 * died: whose end is what there is to tell. It is known a moment later.
 *
 * @returns whether something else is behind an error
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

// The last: a write was on its way when the pipe was closed from here.
const PIPE_ENDED = new Set<unknown>(['EPIPE', 'ECONNRESET', 'ECANCELED'])
const STREAM_ENDED = new Set<unknown>(['ERR_STREAM_PREMATURE_CLOSE', 'ERR_STREAM_DESTROYED'])

/**
 * @param exits - of all children
 * @param otherwise - the error so far
 * @returns the first failure that has no other behind it; `otherwise` if there is none in time
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
