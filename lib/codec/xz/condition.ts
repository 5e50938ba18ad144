// Lets functions that share a state wait until something is true. After each change of
// the state, every waiter checks again. At the end all waiters are rejected, so that none
// waits for ever.

/** A condition variable. */
export interface Condition {
  /** Resolves when `holds` returns true; rejects after {@link Condition.end}. */
  until(holds: () => boolean): Promise<void>
  /** Says that the state has changed: all waiters check again. */
  changed(): void
  /** Rejects all waiters, now and later, with this error. */
  end(error: Error): void
}

/** @returns a condition that nobody waits for yet. */
export function createCondition(): Condition {
  let waiting: { holds: () => boolean; resolve: () => void; reject: (error: Error) => void }[] = []
  let over: Error | undefined
  return {
    until: (holds) =>
      new Promise((resolve, reject) => {
        if (over) reject(over)
        else if (holds()) resolve()
        else waiting.push({ holds, resolve, reject })
      }),
    changed() {
      const ready = waiting.filter(({ holds }) => holds())
      if (ready.length === 0) return
      waiting = waiting.filter((each) => !ready.includes(each))
      ready.forEach(({ resolve }) => resolve())
    },
    end(error) {
      over = error
      waiting.forEach(({ reject }) => reject(error))
      waiting = []
    },
  }
}
