// Waiting until something holds, for a few that share a state: each change is
// told, and whoever waits looks again. Nobody is left waiting at the end.

/** Where to wait. */
export interface Condition {
  /** Waits until it holds; rejects once all is over. */
  until(holds: () => boolean): Promise<void>
  /** Something changed. */
  changed(): void
  /** All is over: whoever waits, now or later, fails of this. */
  end(error: Error): void
}

/** @returns a place to wait at. */
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
