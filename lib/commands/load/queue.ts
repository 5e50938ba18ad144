// Archives are loaded one after the other, but while the engine unpacks one the
// next few are on their way to it already. Only the ends of their tars have to
// wait: what the engine has by then decides whether they may be taken.
import { interrupted, ToolError } from '../../core/errors.ts'
import type { Notice, VerbContext, Result } from '../../core/outcome.ts'
import type { ArchivedImage } from '../../image/docker-archive.ts'
import type { Target } from '../targets.ts'

/** The turn of an archive. */
export interface LoadGate extends Gate {
  /** The images that the engine will have by then. */
  readonly before: readonly ArchivedImage[]
  /** Told of its images when all but the end of its tar is sent. */
  readonly onSent: (images: readonly ArchivedImage[]) => void
}

/** Loads an archive, for good in its turn; without one, at once. */
export type LoadOne = (target: Target, context: VerbContext, turn?: LoadGate) => Promise<Result>

/** Archives in the order that they are loaded in. */
export interface LoadQueue {
  /** Loads one, those before it being done. */
  readonly load: (target: Target) => Promise<Result>
  /** Ends what was begun of the next ones, and waits for its end. */
  readonly end: () => Promise<void>
}

/**
 * @param targets - each to be loaded, or passed over, in this order
 * @param maxPrefetch - how many may begin before their turn
 */
export function createLoadQueue(
  targets: readonly Target[],
  context: VerbContext,
  maxPrefetch: number,
  loadOne: LoadOne,
): LoadQueue {
  const begun = new Map<Target, Prefetch<Result>>()
  let postponed: (() => void) | undefined

  function begin(target: Target | undefined, before: readonly ArchivedImage[]): void {
    if (!target || maxPrefetch === 0 || begun.has(target)) return
    if (begun.size >= maxPrefetch) {
      postponed = () => begin(target, before)
      return
    }
    const work = prefetch(context, (own, { wait }) =>
      loadOne(target, own, { before, wait, onSent: onSentOf(target, before) }),
    )
    begun.set(target, work)
  }
  function onSentOf(target: Target, before: readonly ArchivedImage[]): LoadGate['onSent'] {
    const next = targets[targets.indexOf(target) + 1]
    return (images) => begin(next, [...before, ...images])
  }
  function take(target: Target): Promise<Result> {
    const work = begun.get(target)
    begun.delete(target)
    const next = postponed
    postponed = undefined
    next?.()
    const now = { before: [], wait: async () => {}, onSent: onSentOf(target, []) }
    return work?.take() ?? loadOne(target, context, now)
  }
  async function end(): Promise<boolean> {
    const works = [...begun.values()]
    begun.clear()
    postponed = undefined
    await Promise.all(works.map((work) => work.cancel()))
    return works.length > 0
  }
  return {
    async load(target) {
      try {
        return await take(target)
      } catch (error) {
        const wasAlone = !(await end())
        if (wasAlone || !(error instanceof ToolError) || error.code !== 'NO_SPACE') throw error
        // It may be one of the next that took the room.
        context.notify({ type: 'warning', text: `${error.message}; it is loaded again, alone` })
        return loadOne(target, context)
      }
    },
    async end() {
      await end()
    },
  }
}

/** When something may be done for good. */
export interface Gate {
  /** Waits until it is. @throws INTERRUPTED where it does not come */
  readonly wait: () => Promise<void>
}

/** Work that was begun: what it says is kept until its turn, and so is the step that cannot be undone. */
export interface Prefetch<T> {
  /**
   * Gives it its turn.
   *
   * @returns what it comes to; undefined if it failed before that, which
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
export function prefetch<T>(
  context: VerbContext,
  work: (context: VerbContext, turn: Gate) => Promise<T>,
): Prefetch<T> {
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
