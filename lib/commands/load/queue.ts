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
export class LoadQueue {
  readonly #targets: readonly Target[]
  readonly #context: VerbContext
  readonly #maxPrefetch: number
  readonly #loadOne: LoadOne
  readonly #begun = new Map<Target, Prefetch<Result>>()
  /** Begins the next one, once there is room for it. */
  #postponed: (() => void) | undefined

  /**
   * @param targets - each to be loaded, or passed over, in this order
   * @param maxPrefetch - how many may begin before their turn
   */
  constructor(
    targets: readonly Target[],
    context: VerbContext,
    maxPrefetch: number,
    loadOne: LoadOne,
  ) {
    this.#targets = targets
    this.#context = context
    this.#maxPrefetch = maxPrefetch
    this.#loadOne = loadOne
  }

  /** Loads one, those before it being done. */
  async load(target: Target): Promise<Result> {
    try {
      return await this.#take(target)
    } catch (error) {
      const wasAlone = !(await this.#cancel())
      if (wasAlone || !(error instanceof ToolError) || error.code !== 'NO_SPACE') throw error
      // It may be one of the next that took the room.
      const text = `${error.message}; it is loaded again, alone`
      this.#context.notify({ type: 'warning', text })
      return this.#loadOne(target, this.#context)
    }
  }

  /** Ends what was begun of the next ones, and waits for its end. */
  async end(): Promise<void> {
    await this.#cancel()
  }

  #take(target: Target): Promise<Result> {
    const work = this.#begun.get(target)
    this.#begun.delete(target)
    const next = this.#postponed
    this.#postponed = undefined
    next?.()
    const now = { before: [], wait: async () => {}, onSent: this.#onSentOf(target, []) }
    return work?.take() ?? this.#loadOne(target, this.#context, now)
  }

  #onSentOf(target: Target, before: readonly ArchivedImage[]): LoadGate['onSent'] {
    const next = this.#targets[this.#targets.indexOf(target) + 1]
    return (images) => this.#begin(next, [...before, ...images])
  }

  #begin(target: Target | undefined, before: readonly ArchivedImage[]): void {
    if (!target || this.#maxPrefetch === 0 || this.#begun.has(target)) return
    if (this.#begun.size >= this.#maxPrefetch) {
      this.#postponed = () => this.#begin(target, before)
      return
    }
    const onSent = this.#onSentOf(target, before)
    const work = prefetch(this.#context, (own, { wait }) =>
      this.#loadOne(target, own, { before, wait, onSent }),
    )
    this.#begun.set(target, work)
  }

  /** @returns whether there was anything to end */
  async #cancel(): Promise<boolean> {
    const works = [...this.#begun.values()]
    this.#begun.clear()
    this.#postponed = undefined
    await Promise.all(works.map((work) => work.cancel()))
    return works.length > 0
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
