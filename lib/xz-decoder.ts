// Decompresses .xz over all processors where no program here does: blocks are
// found by the indexes in the file, cut out of the bytes that come, decoded side
// by side in threads, and given out in order. Checks, sizes and indexes are all
// verified; a claim of an index takes no memory before it turns out to be true.
import { availableParallelism } from 'node:os'
import { basename } from 'node:path'
import type { Writable } from 'node:stream'

import { createByteTaker, type ByteTaker } from './byte-taker.ts'
import type { Child } from './child.ts'
import { interrupted } from './errors.ts'
import { formatBytes } from './quantity.ts'
import { startTransform } from './transform-child.ts'
import { createTurns } from './turns.ts'
import { badBlock, badXz, type XzPlace } from './xz-fault.ts'
import { readStreams, type FileRange } from './xz-file.ts'
import { frameBlock, padded, readRecords, type BlockRecord } from './xz-index.ts'
import type { XzStream } from './xz-layout.ts'
import { INPUT_BYTES } from './xz-message.ts'
import { createXzWorkers, type OpenBlock, type XzWorkers } from './xz-workers.ts'

export type { FileRange }

/** What {@link startXzDecoder} needs. */
export interface XzDecoderOptions {
  /** Where the bytes come from that are written to stdin: whole streams each. */
  readonly parts: readonly FileRange[]
  /** Without it all processors, but not more than 32. */
  readonly threads: number | undefined
  /** Another child's stdin to write to. */
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
  const feeding = feed(chunks, workers, { ...options, threads })
    .catch((reason: unknown) => (input.failure = { reason }))
    .finally(() => {
      input.isOver = true
      turns.changed()
    })
  void feeding
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

async function feed(
  chunks: AsyncIterable<Buffer>,
  workers: XzWorkers,
  options: XzDecoderOptions & { threads: number },
): Promise<void> {
  let place: XzPlace = { archive: '', offsetBytes: 0 }
  const bytes = createByteTaker(chunks, (what) =>
    badXz(place, `got ${what} bytes than when its index was read`),
  )
  const begin = createBeginner(workers, options)
  for (const part of options.parts) {
    const archive = basename(part.path)
    for (const stream of await readStreams(part)) {
      const at = (offsetBytes: number): XzPlace => (place = { archive, offsetBytes })
      await expect(bytes, stream.header, at(stream.offsetBytes))
      await feedBlocks(bytes, stream, begin, at)
      await expect(bytes, stream.index, at(stream.indexOffsetBytes))
      await expect(bytes, stream.footer, at(stream.indexOffsetBytes + stream.index.length))
      for await (const chunk of bytes.take(stream.paddingBytes)) {
        if (chunk.some((byte) => byte !== 0)) throw changed(place)
      }
    }
  }
  await bytes.end()
}

type Begin = (record: BlockRecord, number: number, place: XzPlace) => Promise<OpenBlock>

// Decides which blocks are too large to be held, and tells of the first.
function createBeginner(
  workers: XzWorkers,
  { threads, onSlow, mostBlockBytes }: XzDecoderOptions & { threads: number },
): Begin {
  const fits = Math.floor(process.availableMemory() / 3 / (threads + 1))
  const most = mostBlockBytes ?? Math.min(MOST_BLOCK_BYTES, Math.max(LEAST_BLOCK_BYTES, fits))
  let isTold = threads === 1
  return (record, number, place) => {
    const { sizeBytes, unpaddedBytes } = record
    const isHuge = Math.max(sizeBytes, unpaddedBytes) > most
    if (isHuge && !isTold) {
      isTold = true
      onSlow?.(
        `"${place.archive}" has a block of ${formatBytes(sizeBytes)}: only one processor can decompress it`,
      )
    }
    return workers.begin({
      sizeBytes,
      isHuge,
      explain: (fault) => badBlock(place, number, fault),
    })
  }
}

async function feedBlocks(
  bytes: ByteTaker,
  stream: XzStream,
  begin: Begin,
  at: (offsetBytes: number) => XzPlace,
): Promise<void> {
  let offsetBytes = stream.offsetBytes + stream.header.length
  let number = 0
  for (const record of readRecords(stream.index, at(stream.indexOffsetBytes))) {
    const block = await begin(record, ++number, at(offsetBytes))
    try {
      await feedBlock(bytes, stream.check, record, block)
    } catch (error) {
      // It is never done, and whoever waits for it has to hear why.
      block.fail(error)
      throw error
    }
    offsetBytes += padded(record.unpaddedBytes)
  }
}

async function feedBlock(
  bytes: ByteTaker,
  check: number,
  record: BlockRecord,
  block: OpenBlock,
): Promise<void> {
  const blockBytes = padded(record.unpaddedBytes)
  const { head, tail } = frameBlock(check, record)
  let left = head.length + blockBytes + tail.length
  let piece = Buffer.allocUnsafeSlow(Math.min(INPUT_BYTES, left))
  let filled = 0
  const put = async (chunk: Buffer): Promise<void> => {
    for (let from = 0; from < chunk.length;) {
      const count = chunk.copy(piece, filled, from)
      from += count
      filled += count
      if (filled < piece.length) return
      left -= filled
      await block.write(piece, left === 0)
      piece = Buffer.allocUnsafeSlow(Math.min(INPUT_BYTES, left))
      filled = 0
    }
  }
  await put(head)
  for await (const chunk of bytes.take(blockBytes)) await put(chunk)
  await put(tail)
}

async function expect(bytes: ByteTaker, want: Buffer, place: XzPlace): Promise<void> {
  let from = 0
  for await (const chunk of bytes.take(want.length)) {
    if (!want.subarray(from, from + chunk.length).equals(chunk)) throw changed(place)
    from += chunk.length
  }
}

function changed(place: XzPlace): Error {
  return badXz(place, 'it is no longer what was read there before')
}
