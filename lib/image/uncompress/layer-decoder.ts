// A compressed layer into the tar that it is: gzip or zstd, told by its first
// bytes, as the engines tell it, whatever its media type says.
import {
  constants,
  createGunzip,
  createZstdDecompress,
  type Gunzip,
  type ZstdDecompress,
} from 'node:zlib'

import { codecOf, ZSTD_MAGIC } from '../../codec/formats.ts'
import { ToolError } from '../../core/errors.ts'

type Decoder = Gunzip | ZstdDecompress

// The default, 16 KiB, costs more for handing on than for decompressing.
const CHUNK = { chunkSize: 256 * 1024 }
const GZIP_MAGIC = Buffer.from([0x1f, 0x8b])
const LARGEST_WINDOW = { params: { [constants.ZSTD_d_windowLogMax]: 31 } }

function chooseDecoder(start: Buffer | undefined): (() => Decoder) | undefined {
  if (start?.subarray(0, GZIP_MAGIC.length).equals(GZIP_MAGIC)) return () => createGunzip(CHUNK)
  if (!start || codecOf(start) !== 'zstd') return undefined
  return () => createZstdDecompress({ ...CHUNK, ...LARGEST_WINDOW })
}

/**
 * @param layer - all of its bytes, as they lie in a tar
 * @param name - of the layer, for errors
 * @returns its bytes uncompressed; as they are, where they are that
 * @throws BAD_IMAGE where they cannot be decompressed, or something else follows
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
  // A decoder of zstd ends with its first frame, without a word of those after it.
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
      // Whoever reads on behind the layer must not meet it still reading.
      decoder.destroy()
      await feeding.catch(() => {})
    }
  }
}

// Enough to tell how it is compressed, where there is as much.
async function readStart(next: () => Promise<Buffer | undefined>): Promise<Buffer | undefined> {
  let start = await next()
  while (start && start.length < ZSTD_MAGIC.length) {
    const more = await next()
    if (!more) break
    start = Buffer.concat([start, more])
  }
  return start
}

/** @returns the bytes that the decoder left, where it ended before they did. */
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

// A decoder that fails, or is not wanted any more, forgets what it was given.
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
    hint: 'the image is damaged: pull and save it again',
    cause,
  })
}
