// The one way by which archives are read: ranges of them → segments verified → decoded
// → layers verified → gate → sink. The gate withholds the end of the bytes until all that
// was read is verified. It stands before the sink; where the decoder writes to the sink
// itself, so that no byte of the tar passes through this process, it stands before the decoder.
import { pipeline } from 'node:stream/promises'

import { startDecompressor } from '../codec/decompress.ts'
import type { Decompressors } from '../codec/programs.ts'
import type { Progress } from '../core/outcome.ts'
import { readSegment } from '../delivery/layer-index.ts'
import type { Segment } from '../delivery/metadata.ts'
import type { SocketSink, TarSink } from '../image/sink.ts'
import { archiveAt, wholeArchive, type ArchiveRange } from '../io/archive-file.ts'
import { allWork, withChildren } from '../io/child.ts'
import type { Task } from '../io/task.ts'
import { sendTar } from '../io/withhold-tail.ts'

/** Bytes of an archive. */
export interface Part {
  /** Path of the archive. */
  readonly archive: string
  /** Which bytes, verified by their sha256; without it all, up to the end that the file has by then. */
  readonly segment?: Segment
}

/** Looks at a tar while it is decoded. */
export interface TarScan {
  /** @returns what the sink gets of these bytes */
  write(chunk: Buffer): Iterable<Buffer>
  /** @returns what to wait for before the next chunk, if anything */
  ready?(): Promise<unknown> | undefined
  /** Called when all is decoded. @returns what the sink gets besides */
  end?(): Iterable<Buffer>
}

/** What is read, and what must hold of it. */
export interface Reading {
  /** One after the other, as if they were one archive. */
  readonly parts: readonly Part[]
  /** Gets the compressed bytes, where they are hashed as a whole. */
  readonly onBytes?: (chunk: Buffer) => void
  /** Without it the sink gets all that is decoded. */
  readonly scan?: TarScan
  /**
   * Opens the gate: called when all is read and, unless the decoder writes to the sink
   * itself, decoded. If it throws, the sink never gets the end of the tar.
   */
  readonly verify: () => Promise<void>
}

/** How far a reading is. */
export interface ReadProgress extends Progress {
  /** From 0 to 1. */
  readonly share: number
}

/** How to read. */
export interface ReadingOptions {
  readonly decompressors: Decompressors
  readonly threads: number | undefined
  readonly onProgress: (progress: ReadProgress) => void
  readonly signal: AbortSignal
}

/**
 * Reads parts of archives to their end; the tar goes to the sink where there is one.
 *
 * @throws MISMATCH, BAD_ARCHIVE, what the scan and `verify` throw, and how the sink failed
 */
export async function readThrough(
  reading: Reading,
  options: ReadingOptions,
  sink?: TarSink,
): Promise<void> {
  const source = await CompressedParts.open(reading, options)
  if (sink && 'connect' in sink) return decodeInto(source, sink)
  const decoder = await startDecompressor(source.ranges, options)
  const taker = sink?.start()
  // Nobody wants what it prints; but it may wait for a reader.
  taker?.stdout.resume()
  const read = pipeline(() => source.chunks(), decoder.stdin)
  const verify = async (): Promise<void> => {
    await Promise.all([read, decoder.exited])
    await reading.verify()
  }
  const tar = source.scanned(decoder)
  const sent = taker ? sendTar(tar, taker, verify) : drain(tar, verify)
  const children = taker ? [decoder, taker] : [decoder]
  await withChildren(children, options.signal, allWork(read, sent))
}

async function decodeInto(source: CompressedParts, { connect }: SocketSink): Promise<void> {
  const { ranges, reading, options } = source
  const taker = connect()
  const children: Task[] = [taker]
  const send = async (): Promise<void> => {
    const output = await taker.socket
    const decoder = await startDecompressor(ranges, { ...options, output })
    children.unshift(decoder)
    // Node stops reading what it hands to a child: the answer is still to come. The
    // child has made it block, for both sides; but that answer is short, and is all
    // that is read or written here.
    output.resume()
    await sendTar(source.chunks(), taker, reading.verify, decoder.stdin)
    await decoder.exited
    // Until here it cannot take an early end of the tar for its end.
    taker.stdin.end()
  }
  await withChildren(children, options.signal, send())
}

/** The compressed bytes of a reading, and how far they have come. */
class CompressedParts {
  readonly reading: Reading
  readonly options: ReadingOptions
  /** Where the parts lie. */
  readonly ranges: readonly ArchiveRange[]
  readonly #totalBytes: number
  #archiveBytes = 0
  #tarBytes = 0

  private constructor(reading: Reading, options: ReadingOptions, ranges: readonly ArchiveRange[]) {
    this.reading = reading
    this.options = options
    this.ranges = ranges
    this.#totalBytes = ranges.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  }

  static async open(reading: Reading, options: ReadingOptions): Promise<CompressedParts> {
    const ranges = await Promise.all(reading.parts.map(rangeOf))
    return new CompressedParts(reading, options, ranges)
  }

  async *chunks(): AsyncGenerator<Buffer> {
    const { parts, onBytes, scan } = this.reading
    for (const { archive, segment } of parts) {
      const file = archiveAt(archive)
      for await (const chunk of segment ? readSegment(file, segment) : file.stream()) {
        onBytes?.(chunk)
        this.#archiveBytes += chunk.length
        if (!scan) this.#tellProgress()
        yield chunk
      }
    }
  }

  /** @returns what the sink gets of a decoder's output */
  async *scanned({ stdout }: Task): AsyncGenerator<Buffer> {
    const { scan } = this.reading
    for await (const chunk of stdout as AsyncIterable<Buffer>) {
      this.#tarBytes += chunk.length
      if (!scan) {
        yield chunk
        continue
      }
      this.#tellProgress()
      for (const bytes of scan.write(chunk)) yield bytes
      const busy = scan.ready?.()
      if (busy) await busy
    }
    for (const bytes of scan?.end?.() ?? []) yield bytes
  }

  #tellProgress(): void {
    const archiveBytes = this.#archiveBytes
    const share = Math.min(1, archiveBytes / this.#totalBytes)
    this.options.onProgress({ archiveBytes, tarBytes: this.#tarBytes, share })
  }
}

async function rangeOf({ archive, segment }: Part): Promise<ArchiveRange> {
  const file = archiveAt(archive)
  return segment ? { file, ...segment } : wholeArchive(file)
}

async function drain(chunks: AsyncIterable<Buffer>, verify: () => Promise<void>): Promise<void> {
  for await (const _ of chunks) void _
  await verify()
}
