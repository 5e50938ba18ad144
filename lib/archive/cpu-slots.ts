// How many processors a segment keeps busy, from its beginning to its end: those
// that it has no block for any more are the next one's. Blocks are written in their
// order, so one of the last may be done while that of before still hides it: its
// processor is taken to be free.
import { blockBytes } from '../codec/compress.ts'
import type { Coding } from '../codec/formats.ts'
import type { Compressor } from '../codec/programs.ts'
import { watchXz } from '../codec/xz/progress.ts'

/** The processors that a segment holds. */
export interface CpuReservation {
  /** Gives back those that it may have no use for any more when that much of it is done. */
  readonly onDone: (doneBytes: number) => void
  /** Gives back all. */
  readonly end: () => void
}

/**
 * Waits until a segment may begin.
 *
 * @param layerBytes - of the layer that it is; what lies between layers is soon done
 * @param threads - how many processors there are
 */
export async function reserveCpus(
  semaphore: Semaphore,
  layerBytes: number | undefined,
  threads: number,
  { compressor, coding }: { readonly compressor: Compressor; readonly coding: Coding },
): Promise<CpuReservation> {
  const sizeBytes = layerBytes ?? 0
  const block = blockBytes(compressor, coding, sizeBytes)
  const blocksAfter = (doneBytes: number): number =>
    Math.max(0, Math.ceil((sizeBytes - doneBytes) / block))
  let held = Math.min(threads, Math.max(1, blocksAfter(0)))
  await semaphore.take(held)

  function keep(weight: number): void {
    const left = Math.min(held, weight)
    semaphore.give(held - left)
    held = left
  }
  return {
    onDone(doneBytes) {
      const blocks = blocksAfter(doneBytes)
      keep(blocks > 1 && blocks <= threads ? blocks - 1 : blocks)
    },
    end: () => keep(0),
  }
}

/**
 * @param chunks - an .xz stream
 * @param held - told of what is done; a .zst tells nothing
 * @returns the same bytes
 */
export async function* releaseCpus(
  chunks: AsyncIterable<Buffer>,
  held: CpuReservation,
): AsyncGenerator<Buffer> {
  const progress = watchXz()
  for await (const chunk of chunks) {
    progress.write(chunk)
    held.onDone(progress.doneBytes)
    yield chunk
  }
}

/**
 * Room for work of several weights. Work begins as long as there is any room, in the
 * order that it was asked for: what is heavier than the room takes more for a while,
 * so that no part of it stays empty.
 */
export interface Semaphore {
  /** Waits until there is some room. */
  take(weight: number): Promise<void>
  /** Gives the room of some work back. */
  give(weight: number): void
}

/** @param capacity - the weight that is at work when nothing else may begin */
export function createSemaphore(capacity: number): Semaphore {
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
