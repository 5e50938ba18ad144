// The bundled zstd decoder. It gives each frame to a new decoder of Node's zlib, because
// one of those stops after its first frame. That decoder also verifies the checksums.
import type { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { constants, createZstdDecompress, zstdDecompressSync } from 'node:zlib'

import { ToolError } from '../../core/errors.ts'
import { COPY_ARCHIVE } from '../../core/hints.ts'
import { startTransform } from '../../io/in-process-child.ts'
import type { Task } from '../../io/task.ts'
import { FrameSplitter, type FramePiece } from './frames.ts'

/**
 * @param options - `archive`: the file name, for errors; `output`: the stdin of another
 *   child, or a socket, to write to instead of stdout
 * @returns a task that decompresses zstd frames, one after the other; it fails with
 *   BAD_ARCHIVE if they are damaged or need too much memory
 */
export function startZstdDecoder(options: { archive: string; output?: Writable }): Task {
  const { archive, output } = options
  return startTransform((chunks) => decode(chunks, archive), output)
}

async function* decode(chunks: AsyncIterable<Buffer>, archive: string): AsyncGenerator<Buffer> {
  const pieces = split(chunks, archive)
  for (;;) {
    const { done, value: first } = await pieces.next()
    if (done === true) return
    yield* decodeFrame(first, pieces, archive)
  }
}

async function* split(chunks: AsyncIterable<Buffer>, archive: string): AsyncGenerator<FramePiece> {
  const splitter = new FrameSplitter(archive)
  for await (const chunk of chunks) yield* splitter.write(chunk)
  splitter.end()
}

async function* decodeFrame(
  first: FramePiece,
  pieces: AsyncGenerator<FramePiece>,
  archive: string,
): AsyncGenerator<Buffer> {
  const bytes = first.isLast ? decodeAtOnce(first.bytes) : undefined
  if (bytes) {
    yield bytes
    return
  }
  const decoder = createZstdDecompress(OPTIONS)
  const feeding = pipeline(frameBytes(first, pieces), decoder)
  // A failure of the pipeline destroys the decoder with the same error, which is caught below.
  feeding.catch(() => {})
  try {
    yield* decoder as AsyncIterable<Buffer>
  } catch (error) {
    throw isOfZstd(error) ? badFrame(archive, first, error) : error
  }
}

async function* frameBytes(
  first: FramePiece,
  pieces: AsyncGenerator<FramePiece>,
): AsyncGenerator<Buffer> {
  let piece = first
  while (!piece.isLast) {
    yield piece.bytes
    // Inside a frame, the splitter gives another piece or throws.
    const { value } = await pieces.next()
    piece = value
  }
  yield piece.bytes
}

// A small frame is decoded in one call: a new stream for it would take most of the time.
function decodeAtOnce(frame: Buffer): Buffer | undefined {
  try {
    return zstdDecompressSync(frame, { ...OPTIONS, maxOutputLength: AT_ONCE_BYTES })
  } catch {
    return undefined // the frame is large or damaged: the stream decodes it, or reports it
  }
}

const AT_ONCE_BYTES = 1024 * 1024

// The chunks are larger than Node's 16 KiB, because each one goes through the thread pool.
const OPTIONS = {
  chunkSize: 128 * 1024,
  params: { [constants.ZSTD_d_windowLogMax]: 31 },
}

function isOfZstd(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('ZSTD_error')
}

function badFrame(archive: string, { offsetBytes }: FramePiece, cause: Error): ToolError {
  const message = `decompress "${archive}": in the frame at byte ${offsetBytes}: ${cause.message}`
  const isMemory = /memory/i.test(cause.message)
  return new ToolError('BAD_ARCHIVE', message, {
    hint: isMemory
      ? 'its window is larger than the memory that is free here: end other programs'
      : COPY_ARCHIVE,
    cause,
  })
}
