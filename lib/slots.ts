// Lets work begin as long as there is any room, in the order that it was asked
// for: what is heavier than the room takes more for a while, lest a part of it
// stay empty.

/** Room for work of several weights. */
export interface Slots {
  /** Waits until there is some room. */
  take(weight: number): Promise<void>
  /** Gives the room of some work back. */
  give(weight: number): void
}

/** @param capacity - the weight that is at work when nothing else may begin */
export function createSlots(capacity: number): Slots {
  const waiting: { readonly weight: number; readonly begin: () => void }[] = []
  let taken = 0

  function admit(): void {
    for (let next = waiting[0]; next && taken < capacity; next = waiting[0]) {
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
