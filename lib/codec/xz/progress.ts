// Counts how much content a compressor has put into an .xz stream so far. It reads only the
// stream: each LZMA2 chunk, of at most 64 KiB, gives the size of its content.
import { HEADER_BYTES } from './header.ts'

/** The progress of one stream. */
export interface XzProgress {
  /** Reads the next bytes of the stream; chunks may have any size. */
  write(chunk: Buffer): void
  /** Size of the content of all LZMA2 chunks so far, in bytes. */
  readonly doneBytes: number
}

/** The next bytes that the parser wants: to read them, or to skip them. */
interface Next {
  readonly sizeBytes: number
  readonly isRead: boolean
}

/** @returns the progress of a stream by pixz or xz: its blocks use LZMA2 and no other filter. */
export function watchXz(): XzProgress {
  let doneBytes = 0
  const parts = readParts((sizeBytes) => (doneBytes += sizeBytes))
  let next = parts.next()
  let head: Buffer = Buffer.alloc(0)
  let left = next.value?.sizeBytes ?? 0

  return {
    get doneBytes() {
      return doneBytes
    },
    write(chunk) {
      for (let rest = chunk; rest.length > 0 && !next.done;) {
        const bytes = rest.subarray(0, left)
        if (next.value.isRead) head = Buffer.concat([head, bytes])
        rest = rest.subarray(bytes.length)
        left -= bytes.length
        if (left > 0) return
        next = parts.next(head)
        head = Buffer.alloc(0)
        left = next.value?.sizeBytes ?? 0
      }
    },
  }
}

// The size of a check, by the number of its kind.
const CHECK_BYTES: Readonly<Record<number, number>> = { 1: 4, 4: 8, 10: 32 }

/** @see https://tukaani.org/xz/xz-file-format.txt 3 */
function* readParts(onDone: (sizeBytes: number) => void): Generator<Next, void, Buffer> {
  const header = yield read(HEADER_BYTES)
  const checkBytes = CHECK_BYTES[header.readUInt8(7)] ?? 0
  for (;;) {
    const size = (yield read(1)).readUInt8()
    // A zero here is the start of the index: there are no more blocks.
    if (size === 0) return
    yield skip(4 * size + 3)
    const dataBytes = yield* readChunks(onDone)
    const restBytes = (-dataBytes & 3) + checkBytes
    if (restBytes > 0) yield skip(restBytes)
  }
}

/** @see https://en.wikipedia.org/wiki/Lempel%E2%80%93Ziv%E2%80%93Markov_chain_algorithm#LZMA2_format */
function* readChunks(onDone: (sizeBytes: number) => void): Generator<Next, number, Buffer> {
  let dataBytes = 1
  for (;;) {
    const control = (yield read(1)).readUInt8()
    if (control === 0) return dataBytes
    const isPlain = control < 0x80
    const sizes = yield read(isPlain ? 2 : 4)
    const high = isPlain ? 0 : (control & 0x1f) << 16
    const sizeBytes = high + sizes.readUInt16BE(0) + 1
    const properties = control >= 0xc0 ? 1 : 0
    const chunkBytes = isPlain ? sizeBytes : sizes.readUInt16BE(2) + 1 + properties
    yield skip(chunkBytes)
    onDone(sizeBytes)
    dataBytes += 1 + sizes.length + chunkBytes
  }
}

function read(sizeBytes: number): Next {
  return { sizeBytes, isRead: true }
}

function skip(sizeBytes: number): Next {
  return { sizeBytes, isRead: false }
}
