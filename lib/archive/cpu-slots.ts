// Counts how many processors a segment keeps busy. Towards its end it has fewer blocks than
// processors, and the next segment may use the free ones. Blocks are written in order, so a
// finished block may be hidden behind an unfinished one: one more processor counts as free for
// that.
import { blockBytes } from '../codec/compress.ts'
import type { Coding } from '../codec/formats.ts'
import type { Compressor } from '../codec/programs.ts'
import { watchXz } from '../codec/xz/progress.ts'

/** The processors that a segment has reserved. */
export interface CpuReservation {
  /** Releases the processors that the segment no longer needs when this many bytes are done. */
  readonly onDone: (doneBytes: number) => void
  /** Releases all processors. */
  readonly end: () => void
}

/**
 * Waits until a segment may begin.
 *
 * @param layerBytes - the size of the layer in the segment, or undefined for what is between
 *   layers, which takes little time
 * @param threads - the number of processors
 * @returns the reserved processors
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
 * @param held - the reservation of its segment. A .zst stream does not show its progress.
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
 * Limits how much work runs at once, by its weight. Waiting work begins in its order, as soon
 * as any room is free. Heavy work may then exceed the capacity for a while, so that no
 * processor is idle.
 */
export interface Semaphore {
  /** Waits until there is some room. */
  take(weight: number): Promise<void>
  /** Releases the room of some work. */
  give(weight: number): void
}

/** @param capacity - the weight at which no further work begins */
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
