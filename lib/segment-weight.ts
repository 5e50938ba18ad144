// How many processors a segment keeps busy, from its beginning to its end: those
// that it has no block for any more are the next one's. To begin that sooner
// would only make the two slow each other down.
import type { Coding } from './codec.ts'
import { blockBytes } from './compression.ts'
import type { Compressor } from './compressor.ts'
import type { Slots } from './slots.ts'
import { watchXz } from './xz-progress.ts'

/** The work that a segment is. */
export interface SegmentWork {
  /** How many processors it can use. */
  readonly weight: number
  /** @returns how many it can still use when that much of an .xz stream is done. */
  readonly weightAt: (doneBytes: number) => number
}

/** @param layerBytes - of the layer that it is; what lies between layers is soon done */
export function weighSegment(
  layerBytes = 0,
  threads: number,
  { compressor, coding }: { readonly compressor: Compressor; readonly coding: Coding },
): SegmentWork {
  const block = blockBytes(compressor, coding, layerBytes)
  const blocksAfter = (doneBytes: number): number =>
    Math.min(threads, Math.ceil((layerBytes - doneBytes) / block))
  const weight = Math.max(1, blocksAfter(0))
  return { weight, weightAt: coding.codec === 'xz' ? blocksAfter : () => weight }
}

/**
 * @param chunks - the compressed bytes of a segment
 * @param slots - gets its weight back bit by bit; that of zst, which tells nothing, at the end
 * @returns the same bytes
 */
export async function* releaseSlots(
  chunks: AsyncIterable<Buffer>,
  work: SegmentWork,
  slots: Slots,
): AsyncGenerator<Buffer> {
  const progress = watchXz()
  let { weight } = work
  for await (const chunk of chunks) {
    progress.write(chunk)
    const left = Math.min(weight, work.weightAt(progress.doneBytes))
    slots.give(weight - left)
    weight = left
    yield chunk
  }
  slots.give(weight)
}
