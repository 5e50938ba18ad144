// Decompresses .xz over all processors where no program here does: blocks are
// found by the indexes in the file, cut out of the bytes that come, decoded side
// by side in threads, and given out in order. Checks, sizes and indexes are all
// verified; a claim of an index takes no memory before it turns out to be true.
import { availableParallelism } from 'node:os'
import type { Writable } from 'node:stream'

import type { Child } from '../../io/child.ts'
import { interrupted } from '../../core/errors.ts'
import { formatBytes } from '../../core/format.ts'
import type { FileRange } from '../../io/file-range.ts'
import { startTransform } from '../../io/in-process-child.ts'
import { createTurns } from './condition.ts'
import { badBlock } from './error.ts'
import { feedBlocks, type BeginBlock } from './block-feeder.ts'
import { createXzWorkers, type XzWorkers } from './worker-pool.ts'

/** What {@link startXzDecoder} needs. */
export interface XzDecoderOptions {
  /** Where the bytes come from that are written to stdin: whole streams each. */
  readonly parts: readonly FileRange[]
  /** Without it all processors, but not more than 32. */
  readonly threads: number | undefined
  /** Another child's stdin, or a socket, to write to. */
  readonly output?: Writable | undefined
  /** Told once where only one processor has work, and why. */
  readonly onSlow?: ((reason: string) => void) | undefined
  /** The largest block that may be held in memory; by default as there is memory. */
  readonly mostBlockBytes?: number | undefined
}

// More than these give bytes faster than anything here takes them.
const MOST_THREADS = 32
const MOST_BLOCK_BYTES = 256 * 1024 ** 2
const LEAST_BLOCK_BYTES = 32 * 1024 ** 2

/**
 * @returns a child that turns the bytes of the parts into what was compressed;
 *   it fails with BAD_ARCHIVE, which tells the place
 */
export function startXzDecoder(options: XzDecoderOptions): Child {
  return startTransform((chunks) => decode(chunks, options), options.output)
}

async function* decode(
  chunks: AsyncIterable<Buffer>,
  options: XzDecoderOptions,
): AsyncGenerator<Buffer> {
  const threads = options.threads ?? Math.min(MOST_THREADS, availableParallelism())
  const turns = createTurns()
  const workers = createXzWorkers(threads, turns)
  const input: { isOver: boolean; failure?: { readonly reason: unknown } } = { isOver: false }
  const slow = createSlowTeller({ ...options, threads })
  const begin = createBeginner(workers, slow, { ...options, threads })
  void feedBlocks(chunks, options.parts, begin, slow)
    .catch((reason: unknown) => (input.failure = { reason }))
    .finally(() => {
      input.isOver = true
      turns.changed()
    })
  try {
    for (;;) {
      await turns.until(() => workers.open > 0 || input.isOver)
      if (workers.open === 0) break
      yield* workers.takeOldest()
    }
    if (input.failure) throw input.failure.reason
  } finally {
    turns.end(interrupted())
    await workers.end()
  }
}

// One note is enough, and none where one processor is all that there is.
function createSlowTeller({
  threads,
  onSlow,
}: XzDecoderOptions & { threads: number }): (archive: string, blockBytes: number) => void {
  let isTold = threads === 1
  return (archive, blockBytes) => {
    if (isTold) return
    isTold = true
    const block = `a block of ${formatBytes(blockBytes)}`
    onSlow?.(`"${archive}" has ${block}: only one processor can decompress it`)
  }
}

// Decides which blocks are too large to be held.
function createBeginner(
  workers: XzWorkers,
  tellSlow: (archive: string, blockBytes: number) => void,
  { threads, mostBlockBytes }: XzDecoderOptions & { threads: number },
): BeginBlock {
  const fits = Math.floor(process.availableMemory() / 3 / (threads + 1))
  const most = mostBlockBytes ?? Math.min(MOST_BLOCK_BYTES, Math.max(LEAST_BLOCK_BYTES, fits))
  return (record, number, place) => {
    const { sizeBytes, unpaddedBytes } = record
    const isHuge = Math.max(sizeBytes, unpaddedBytes) > most
    if (isHuge) tellSlow(place.archive, sizeBytes)
    return workers.begin({
      sizeBytes,
      isHuge,
      explain: (fault) => badBlock(place, number, fault),
    })
  }
}
