// Lets so much work begin as fits at a time, in the order that it was asked for.

/** Room for work of several weights. */
export interface Slots {
  /** Waits until there is room; work that is too heavy for all of it gets all of it. */
  take(weight: number): Promise<void>
  /** Gives the room of some work back. */
  give(weight: number): void
}

/** @param capacity - the weights that may be at work together */
export function createSlots(capacity: number): Slots {
  const waiting: { readonly weight: number; readonly begin: () => void }[] = []
  let taken = 0
  const fits = (weight: number): boolean => taken === 0 || taken + weight <= capacity

  function admit(): void {
    for (let next = waiting[0]; next && fits(next.weight); next = waiting[0]) {
      waiting.shift()
      taken += next.weight
      next.begin()
    }
  }
  return {
    take: (weight) =>
      new Promise((begin) => {
        waiting.push({ weight, begin })
        admit()
      }),
    give(weight) {
      taken -= weight
      admit()
    },
  }
}
