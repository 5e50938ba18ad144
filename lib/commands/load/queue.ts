// Loads archives one after the other. While the engine unpacks one, the next few are already
// sent to it, except for the ends of their tars. These wait, because only the images loaded
// before them decide whether they may be loaded.
import { interrupted, ToolError } from '../../core/errors.ts'
import type { Notice, VerbContext, Result } from '../../core/outcome.ts'
import type { ArchivedImage } from '../../image/docker-archive.ts'
import type { Target } from '../targets.ts'

/** The turn of one archive: it comes when the archives before it are loaded. */
export interface LoadTurn extends Turn {
  /** The images that the engine will have when the turn comes. */
  readonly before: readonly ArchivedImage[]
  /** Is called with the images of this archive when all of its tar but the end is sent. */
  readonly onSent: (images: readonly ArchivedImage[]) => void
}

/**
 * Loads an archive. It does nothing that cannot be undone before the turn comes; without a turn
 * it does not wait.
 */
export type LoadOne = (target: Target, context: VerbContext, turn?: LoadTurn) => Promise<Result>

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

  #onSentOf(target: Target, before: readonly ArchivedImage[]): LoadTurn['onSent'] {
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

/** Says when something that cannot be undone may be done. */
export interface Turn {
  /** Waits until it may be done. @throws INTERRUPTED if the work is cancelled */
  readonly wait: () => Promise<void>
}

/**
 * Work that began before its turn. Its notices are kept until its turn, and it waits with the
 * step that cannot be undone.
 */
export interface Prefetch<T> {
  /**
   * Says that it is the turn of the work.
   *
   * @returns the result of the work; undefined if it failed before its turn. That error may
   *   come from the earlier work, so the caller does it again.
   */
  readonly take: () => Promise<T> | undefined
  /** Ends the work, and waits for its end. */
  readonly cancel: () => Promise<void>
}

/**
 * @param context - gets the notices of the work from its turn on
 * @param work - does nothing that cannot be undone before its turn
 */
export function prefetch<T>(
  context: VerbContext,
  work: (context: VerbContext, turn: Turn) => Promise<T>,
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

/** @returns whether the two lists have no image and no tag in common */
export function areIndependent(
  images: readonly ArchivedImage[],
  others: readonly ArchivedImage[],
): boolean {
  return new Set(images.flatMap(namesOf)).isDisjointFrom(new Set(others.flatMap(namesOf)))
}

function namesOf({ config, repoTags }: ArchivedImage): string[] {
  return [config.digest, ...repoTags]
}
