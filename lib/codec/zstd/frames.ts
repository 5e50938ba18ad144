// Splits the bytes of a .zst file into frames: Node's decoder stops at the end of the first
// frame without an error, so this module finds where each frame begins and ends. It reads
// only headers and keeps no block; the decoder verifies what is in the blocks.
import { ToolError } from '../../core/errors.ts'
import { COPY_ARCHIVE } from '../../core/hints.ts'
import { isSkippable } from '../formats.ts'
import { MAGIC } from '../magic.ts'

/** Some of the bytes of a frame. */
export interface FramePiece {
  /** The offset of the frame, from the first byte of the input. */
  readonly offsetBytes: number
  readonly bytes: Buffer
  /** Whether it is the last piece of its frame. */
  readonly isLast: boolean
}

// What the reader of headers wants next: bytes to read (`magic`, `header`) or to skip
// (`content`). With `begin` and `end`, of no bytes, it reports the borders of a frame.
interface Want {
  readonly what: 'magic' | 'header' | 'content' | 'begin' | 'end'
  readonly sizeBytes: number
}

interface Frame {
  readonly offsetBytes: number
  readonly isFirst: boolean
}

type Fail = (what: string, hint?: string) => ToolError

const NOTHING = Buffer.alloc(0)
const MAX_WINDOW_BYTES = 2 ** 31
const MAX_BLOCK_BYTES = 128 * 1024

/**
 * Splits one stream of bytes into frames.
 *
 * @see https://www.rfc-editor.org/rfc/rfc8878
 */
export class FrameSplitter {
  readonly #archive: string
  readonly #reader = readHeaders((what, hint) => this.#fault(what, hint))
  #want = this.#reader.next(NOTHING).value
  /** Where the wanted bytes begin, and how many of them have passed. */
  #wantedAt = 0
  #passedBytes = 0
  /** Those of them that the reader of headers needs. */
  #header = NOTHING
  #frame: Frame | undefined
  #frames = 0

  /** @param archive - the file name, for errors */
  constructor(archive: string) {
    this.#archive = archive
  }

  /**
   * @param chunk - the next bytes, any number of them
   * @returns the pieces of the frames in it, without skippable frames. The generator looks
   *   for a piece only when it is asked for one, so the pieces before a fault come first
   * @throws BAD_ARCHIVE if the bytes are not a frame, or the frame needs too much memory
   */
  *write(chunk: Buffer): Generator<FramePiece> {
    let from = 0
    for (let at = 0; ; this.#advance()) {
      at += this.#take(chunk, at)
      if (this.#passedBytes < this.#want.sizeBytes) break
      if (this.#want.what === 'begin') from = at
      if (this.#frame && this.#want.what === 'end') {
        yield this.#piece(this.#frame, chunk.subarray(from, at), true)
      }
    }
    if (this.#frame && from < chunk.length) {
      yield this.#piece(this.#frame, chunk.subarray(from), false)
    }
  }

  /** @throws BAD_ARCHIVE if the last frame is not whole, or there was no frame. */
  end(): void {
    if (this.#want.what !== 'magic' || this.#passedBytes > 0) {
      const at = this.#wantedAt + this.#passedBytes
      throw this.#fault('got the end, want the rest of a frame', COPY_ARCHIVE, at)
    }
    if (this.#frames === 0) throw this.#fault('got the end, want a frame')
  }

  // Returns how many of the wanted bytes are in the chunk.
  #take(chunk: Buffer, at: number): number {
    const { what, sizeBytes } = this.#want
    const bytes = chunk.subarray(at, at + sizeBytes - this.#passedBytes)
    if (what !== 'content') this.#header = Buffer.concat([this.#header, bytes])
    this.#passedBytes += bytes.length
    return bytes.length
  }

  #advance(): void {
    const next = this.#reader.next(this.#header).value
    this.#wantedAt += this.#passedBytes
    this.#passedBytes = 0
    this.#header = NOTHING
    this.#want = next
    if (next.what !== 'begin') return
    this.#frame = { offsetBytes: this.#wantedAt - MAGIC.zstd.length, isFirst: true }
    this.#frames++
  }

  #piece({ offsetBytes, isFirst }: Frame, bytes: Buffer, isLast: boolean): FramePiece {
    this.#frame = isLast ? undefined : { offsetBytes, isFirst: false }
    return { offsetBytes, bytes: isFirst ? Buffer.concat([MAGIC.zstd, bytes]) : bytes, isLast }
  }

  #fault(what: string, hint = COPY_ARCHIVE, at = this.#wantedAt): ToolError {
    return new ToolError('BAD_ARCHIVE', `decompress "${this.#archive}": at byte ${at}: ${what}`, {
      hint,
    })
  }
}

const AGAIN = 'decompress it where it was made, and compress it again with'

// Yields what it wants next, in the order of the specification, and gets those bytes.
function* readHeaders(fail: Fail): Generator<Want, never, Buffer> {
  for (;;) {
    const magic = yield { what: 'magic', sizeBytes: MAGIC.zstd.length }
    if (magic.equals(MAGIC.zstd)) {
      yield { what: 'begin', sizeBytes: 0 }
      yield* readFrame(fail)
      yield { what: 'end', sizeBytes: 0 }
    } else if (isSkippable(magic)) {
      const size = yield { what: 'header', sizeBytes: 4 }
      yield { what: 'content', sizeBytes: size.readUInt32LE() }
    } else {
      throw fail(`frame: got ${magic.toString('hex')}, want ${MAGIC.zstd.toString('hex')}`)
    }
  }
}

function* readFrame(fail: Fail): Generator<Want, void, Buffer> {
  const flags = (yield { what: 'header', sizeBytes: 1 }).readUInt8()
  if ((flags & 0x08) !== 0) throw fail('reserved bit: got 1, want 0')
  const maxBlockBytes = Math.min(MAX_BLOCK_BYTES, yield* readWindow(flags, fail))
  for (let isLast = false; !isLast;) {
    const block = (yield { what: 'header', sizeBytes: 3 }).readUIntLE(0, 3)
    isLast = (block & 1) === 1
    const type = (block >> 1) & 3
    const sizeBytes = block >> 3
    if (type === RESERVED) throw fail('block type: got 3, want at most 2')
    if (sizeBytes > maxBlockBytes) {
      throw fail(`block: got ${sizeBytes} bytes, want at most ${maxBlockBytes}`)
    }
    yield { what: 'content', sizeBytes: type === RUN ? 1 : sizeBytes }
  }
  if ((flags & 0x04) !== 0) yield { what: 'content', sizeBytes: CHECKSUM_BYTES }
}

const RUN = 1
const RESERVED = 3
const CHECKSUM_BYTES = 4

// Returns the bytes that a decoder has to keep: the window, or the whole content if the
// frame is a single segment.
function* readWindow(flags: number, fail: Fail): Generator<Want, number, Buffer> {
  const isSegment = (flags & 0x20) !== 0
  const idBytes = (1 << (flags & 3)) >> 1
  const contentBytes = flags >> 6 === 0 ? Number(isSegment) : 1 << (flags >> 6)
  const sizeBytes = (isSegment ? 0 : 1) + idBytes + contentBytes
  const header = yield { what: 'header', sizeBytes }
  const id = header.subarray(isSegment ? 0 : 1, sizeBytes - contentBytes)
  if (id.some((byte) => byte !== 0)) {
    throw fail('dictionary: got one that is needed, want none', `${AGAIN}out one`)
  }
  const content = header.subarray(sizeBytes - contentBytes)
  const windowBytes = isSegment ? readContentSize(content) : readWindowSize(header.readUInt8())
  if (windowBytes > MAX_WINDOW_BYTES) {
    throw fail(
      `window: got ${windowBytes} bytes, want at most ${MAX_WINDOW_BYTES}`,
      `${AGAIN} a window of at most 2 GiB`,
    )
  }
  return windowBytes
}

function readWindowSize(descriptor: number): number {
  return 2 ** (10 + (descriptor >> 3)) * (1 + (descriptor & 7) / 8)
}

function readContentSize(field: Buffer): number {
  if (field.length === 8) return Number(field.readBigUInt64LE())
  return field.readUIntLE(0, field.length) + (field.length === 2 ? 256 : 0)
}
