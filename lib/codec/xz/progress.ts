// How much of what an .xz stream holds has gone past: each of its LZMA2 chunks,
// of at most 64 KiB, says how much it stands for.
import { HEADER_BYTES } from './header.ts'

/** A stream as it goes past. */
export interface XzProgress {
  /** Looks at the next bytes of it, in whatever chunks they come. */
  write(chunk: Buffer): void
  /** What its bytes so far stand for, in bytes. */
  readonly doneBytes: number
}

/** So many bytes come next, to be looked at or not. */
interface Next {
  readonly sizeBytes: number
  readonly isRead: boolean
}

/** @returns the progress of a stream that pixz or xz writes: blocks of LZMA2, with no other filter. */
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

// By the number of the kind of check.
const CHECK_BYTES: Readonly<Record<number, number>> = { 1: 4, 4: 8, 10: 32 }

/** @see https://tukaani.org/xz/xz-file-format.txt 3 */
function* readParts(onDone: (sizeBytes: number) => void): Generator<Next, void, Buffer> {
  const header = yield read(HEADER_BYTES)
  const checkBytes = CHECK_BYTES[header.readUInt8(7)] ?? 0
  for (;;) {
    const size = (yield read(1)).readUInt8()
    // The index begins, all blocks are over.
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
