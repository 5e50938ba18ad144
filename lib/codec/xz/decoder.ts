// The bundled .xz decoder. It uses all processors, for hosts without a program that does.
// The indexes in the file say where the blocks are; threads decode several blocks at a
// time, and their contents come out in order. It verifies checks, sizes and indexes. It
// takes memory for bytes that it got, not for sizes that an index claims.
import { availableParallelism } from 'node:os'
import type { Writable } from 'node:stream'

import { interrupted } from '../../core/errors.ts'
import { formatBytes } from '../../core/format.ts'
import type { ArchiveRange } from '../../io/archive-file.ts'
import { startTransform } from '../../io/in-process-child.ts'
import type { Task } from '../../io/task.ts'
import { feedBlocks, type BeginBlock } from './block-feeder.ts'
import { createCondition } from './condition.ts'
import { badBlock } from './error.ts'
import { XzWorkers } from './worker-pool.ts'

/** What {@link startXzDecoder} needs. */
export interface XzDecoderOptions {
  /** The parts of archives whose bytes the caller writes to stdin; each is whole streams. */
  readonly parts: readonly ArchiveRange[]
  /** Number of threads; undefined: one for each processor, at most 32. */
  readonly threads: number | undefined
  /** The stdin of another child, or a socket, to write to instead of stdout. */
  readonly output?: Writable | undefined
  /** Is called once, with the reason, if only one processor has work. */
  readonly onDegraded?: ((reason: string) => void) | undefined
  /** The largest block to hold in memory; by default it depends on the free memory. */
  readonly maxBlockBytes?: number | undefined
}

// More threads would give bytes faster than the rest of the program can take them.
const MAX_THREADS = 32
const MAX_BLOCK_BYTES = 256 * 1024 ** 2
const MIN_BLOCK_BYTES = 32 * 1024 ** 2

/**
 * @returns a task that decompresses the bytes of the parts; it fails with BAD_ARCHIVE,
 *   with the place, if they are damaged
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
  const workers = new XzWorkers(threads, turns)
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

// Calls `onDegraded` at most once, and never if only one thread was wanted.
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

// Makes the function that begins blocks; it decides which are too large to hold in memory.
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
