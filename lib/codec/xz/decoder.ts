// Decompresses .xz over all processors where no program here does: blocks are
// found by the indexes in the file, cut out of the bytes that come, decoded side
// by side in threads, and given out in order. Checks, sizes and indexes are all
// verified; a claim of an index takes no memory before it turns out to be true.
import { availableParallelism } from 'node:os'
import type { Writable } from 'node:stream'

import type { Task } from '../../io/child.ts'
import { interrupted } from '../../core/errors.ts'
import { formatBytes } from '../../core/format.ts'
import type { FileRange } from '../../io/file-range.ts'
import { startTransform } from '../../io/in-process-child.ts'
import { createCondition } from './condition.ts'
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
  readonly onDegraded?: ((reason: string) => void) | undefined
  /** The largest block that may be held in memory; by default as there is memory. */
  readonly maxBlockBytes?: number | undefined
}

// More than these give bytes faster than anything here takes them.
const MAX_THREADS = 32
const MAX_BLOCK_BYTES = 256 * 1024 ** 2
const MIN_BLOCK_BYTES = 32 * 1024 ** 2

/**
 * @returns a child that turns the bytes of the parts into what was compressed;
 *   it fails with BAD_ARCHIVE, which tells the place
 */
export function startXzDecoder(options: XzDecoderOptions): Task {
  return startTransform((chunks) => decode(chunks, options), options.output)
}

async function* decode(
  chunks: AsyncIterable<Buffer>,
  options: XzDecoderOptions,
): AsyncGenerator<Buffer> {
  const threads = options.threads ?? Math.min(MAX_THREADS, availableParallelism())
  const turns = createCondition()
  const workers = createXzWorkers(threads, turns)
  const input: { isOver: boolean; failure?: { readonly reason: unknown } } = { isOver: false }
  const slow = createDegradedNotice({ ...options, threads })
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
function createDegradedNotice({
  threads,
  onDegraded,
}: XzDecoderOptions & { threads: number }): (archive: string, blockBytes: number) => void {
  let isTold = threads === 1
  return (archive, blockBytes) => {
    if (isTold) return
    isTold = true
    const block = `a block of ${formatBytes(blockBytes)}`
    onDegraded?.(`"${archive}" has ${block}: only one processor can decompress it`)
  }
}

// Decides which blocks are too large to be held.
function createBeginner(
  workers: XzWorkers,
  onDegraded: (archive: string, blockBytes: number) => void,
  { threads, maxBlockBytes }: XzDecoderOptions & { threads: number },
): BeginBlock {
  const fits = Math.floor(process.availableMemory() / 3 / (threads + 1))
  const max = maxBlockBytes ?? Math.min(MAX_BLOCK_BYTES, Math.max(MIN_BLOCK_BYTES, fits))
  return (metadata, number, place) => {
    const { sizeBytes, unpaddedBytes } = metadata
    const isHuge = Math.max(sizeBytes, unpaddedBytes) > max
    if (isHuge) onDegraded(place.archive, sizeBytes)
    return workers.begin({
      sizeBytes,
      isHuge,
      toError: (fault) => badBlock(place, number, fault),
    })
  }
}
