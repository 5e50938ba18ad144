// Decompresses a layer. Its first bytes decide between gzip, zstd and uncompressed, as in
// the engines; the media type does not.
import {
  constants,
  createGunzip,
  createZstdDecompress,
  type Gunzip,
  type ZstdDecompress,
} from 'node:zlib'

import { compressionOf } from '../../codec/detect.ts'
import { MAGIC } from '../../codec/magic.ts'
import { ToolError } from '../../core/errors.ts'
import { SAVE_AGAIN } from '../../core/hints.ts'

type Decoder = Gunzip | ZstdDecompress

// With Node's default of 16 KiB, passing on the chunks costs more than decompressing.
const CHUNK = { chunkSize: 256 * 1024 }
const LARGEST_WINDOW = { params: { [constants.ZSTD_d_windowLogMax]: 31 } }

function chooseDecoder(start: Buffer | undefined): (() => Decoder) | undefined {
  const compression = start && compressionOf(start)
  if (compression === 'gzip') return () => createGunzip(CHUNK)
  if (compression !== 'zstd') return undefined
  return () => createZstdDecompress({ ...CHUNK, ...LARGEST_WINDOW })
}

/**
 * @param layer - all bytes of the layer in the tar
 * @param name - the name of the layer, for errors
 * @returns the uncompressed bytes; the same bytes if the layer is not compressed
 * @throws BAD_IMAGE if the layer cannot be decompressed, or other bytes follow it
 */
export async function* decodeLayer(
  layer: AsyncIterable<Buffer>,
  name: string,
): AsyncGenerator<Buffer> {
  const chunks = layer[Symbol.asyncIterator]()
  const next = async (): Promise<Buffer | undefined> => (await chunks.next()).value
  let rest = await readStart(next)
  const create = chooseDecoder(rest)
  if (!create) {
    if (rest) yield rest
    yield* { [Symbol.asyncIterator]: () => chunks }
    return
  }
  // Node's zstd decoder ends after its first frame without an error, so each frame gets a
  // decoder of its own.
  while (rest) {
    const decoder = create()
    const feeding = feed(decoder, rest, next)
    feeding.catch((error: Error) => decoder.destroy(error))
    try {
      yield* decoder as AsyncIterable<Buffer>
      rest = await feeding
    } catch (error) {
      throw isOfDecoder(error) ? undecodable(name, error) : error
    } finally {
      // The caller may read the bytes after the layer next, so this must not read any more.
      decoder.destroy()
      await feeding.catch(() => {})
    }
  }
}

// Returns at least the bytes that show the compression, or all bytes if there are fewer.
async function readStart(next: () => Promise<Buffer | undefined>): Promise<Buffer | undefined> {
  let start = await next()
  while (start && start.length < MAGIC.zstd.length) {
    const more = await next()
    if (!more) break
    start = Buffer.concat([start, more])
  }
  return start
}

/** @returns the bytes that the decoder did not read, or undefined if it has read all. */
async function feed(
  decoder: Decoder,
  first: Buffer,
  next: () => Promise<Buffer | undefined>,
): Promise<Buffer | undefined> {
  let fedBytes = 0
  for (let chunk: Buffer | undefined = first; chunk; chunk = await next()) {
    await write(decoder, chunk)
    fedBytes += chunk.length
    const leftBytes = fedBytes - decoder.bytesWritten
    if (leftBytes > 0) return chunk.subarray(chunk.length - leftBytes)
  }
  decoder.end()
  return undefined
}

// A decoder that fails or is destroyed does not call back for its last write, so the
// promise is rejected when it closes.
function write(decoder: Decoder, chunk: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (): void => {
      reject(new Error('the decoder was closed', { cause: decoder.errored }))
    }
    decoder.once('close', fail)
    decoder.write(chunk, (error) => {
      decoder.off('close', fail)
      if (error) reject(error)
      else resolve()
    })
  })
}

function isOfDecoder(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('Z')
}

function undecodable(name: string, cause: Error): ToolError {
  return new ToolError('BAD_IMAGE', `decompress layer "${name}": ${cause.message}`, {
    hint: SAVE_AGAIN,
    cause,
  })
}
