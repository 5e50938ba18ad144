// Work that may begin before its turn: while an engine unpacks one image, the
// way of the next one to it is begun. What it says is kept until its turn, and
// so is the step that cannot be undone.
import { interrupted } from './core/errors.ts'
import type { Notice, VerbContext } from './core/outcome.ts'

/** When something may be done for good. */
export interface Turn {
  /** Waits until it is. @throws INTERRUPTED where it does not come */
  readonly wait: () => Promise<void>
}

/** Work that was begun. */
export interface Ahead<T> {
  /**
   * Gives it its turn.
   *
   * @returns what it comes to; undefined where it failed before that, which
   *   tells nothing: it is to be done anew
   */
  readonly take: () => Promise<T> | undefined
  /** Ends it, and waits for its end. */
  readonly cancel: () => Promise<void>
}

/**
 * @param context - told of what the work says, from its turn on
 * @param work - does nothing for good before its turn
 */
export function beginAhead<T>(
  context: VerbContext,
  work: (context: VerbContext, turn: Turn) => Promise<T>,
): Ahead<T> {
  const stop = new AbortController()
  const turn = Promise.withResolvers<void>()
  turn.promise.catch(() => {})
  const held: Notice[] = []
  let state: 'waiting' | 'begun' | 'failed' = 'waiting'
  const notify = (notice: Notice): void => {
    if (state === 'begun') context.notify(notice)
    else if (notice.type !== 'progress') held.push(notice)
  }
  const signal = AbortSignal.any([context.signal, stop.signal])
  const done = work({ notify, signal }, { wait: () => turn.promise })
  done.catch(() => {
    if (state === 'waiting') state = 'failed'
  })
  return {
    take() {
      if (state === 'failed') return undefined
      state = 'begun'
      held.forEach(context.notify)
      turn.resolve()
      return done
    },
    async cancel() {
      stop.abort()
      turn.reject(interrupted())
      await Promise.allSettled([done])
    },
  }
}
