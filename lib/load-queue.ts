// Archives are loaded one after the other, but while the engine unpacks one the
// next is on its way to it already. Only the end of its tar has to wait: what
// the engine has by then decides whether it may be taken.
import type { ArchivedImage } from './docker-archive.ts'
import { ToolError } from './errors.ts'
import type { Result, VerbContext } from './outcome.ts'
import type { Target } from './targets.ts'
import { beginAhead, type Ahead, type Turn } from './work-ahead.ts'

/** The turn of an archive. */
export interface LoadTurn extends Turn {
  /** The images that the engine will have by then. */
  readonly before: readonly ArchivedImage[]
  /** Told of its images when all that is left is for the engine to do. */
  readonly onSent: (images: readonly ArchivedImage[]) => void
}

/** Loads an archive, for good in its turn; without one, at once. */
export type LoadOne = (target: Target, context: VerbContext, turn?: LoadTurn) => Promise<Result>

/** Archives in the order that they are loaded in. */
export interface LoadQueue {
  /** Loads one, those before it being done. */
  readonly load: (target: Target) => Promise<Result>
  /** Ends what was begun of the next, and waits for its end. */
  readonly end: () => Promise<void>
}

/**
 * @param targets - each to be loaded, or passed over, in this order
 * @param isParallel - whether the next may begin before its turn
 */
export function createLoadQueue(
  targets: readonly Target[],
  context: VerbContext,
  isParallel: boolean,
  loadOne: LoadOne,
): LoadQueue {
  let ahead: { readonly target: Target; readonly work: Ahead<Result> } | undefined

  function begin(target: Target | undefined, before: readonly ArchivedImage[]): void {
    if (!target || !isParallel || ahead) return
    const work = beginAhead(context, (own, { wait }) =>
      loadOne(target, own, { before, wait, onSent: onSentOf(target) }),
    )
    ahead = { target, work }
  }
  function onSentOf(target: Target): LoadTurn['onSent'] {
    const next = targets[targets.indexOf(target) + 1]
    return (images) => begin(next, images)
  }
  function take(target: Target): Promise<Result> {
    const begun = ahead?.target === target ? ahead.work : undefined
    if (begun) ahead = undefined
    const now = { before: [], wait: async () => {}, onSent: onSentOf(target) }
    return begun?.take() ?? loadOne(target, context, now)
  }
  async function end(): Promise<boolean> {
    const begun = ahead
    await begun?.work.cancel()
    ahead = undefined
    return begun !== undefined
  }
  return {
    async load(target) {
      try {
        return await take(target)
      } catch (error) {
        const wasAlone = !(await end())
        if (wasAlone || !(error instanceof ToolError) || error.code !== 'NO_SPACE') throw error
        // It may be the next one that took the room.
        context.notify({ type: 'warning', text: `${error.message}; it is loaded again, alone` })
        return loadOne(target, context)
      }
    },
    async end() {
      await end()
    },
  }
}
