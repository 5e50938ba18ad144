// A compressed layer into the tar that it is: gzip or zstd, told by its first
// bytes, as the engines tell it, whatever its media type says.
import { createGunzip, createZstdDecompress, type Gunzip, type ZstdDecompress } from 'node:zlib'

import { ToolError } from './errors.ts'

/** How a layer is compressed. */
export type LayerCompression = 'gzip' | 'zstd'

/** So many bytes tell how a layer is compressed. */
export const MAGIC_BYTES = 4

const MAGIC: readonly [LayerCompression, number[]][] = [
  ['gzip', [0x1f, 0x8b]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
]

/**
 * @param start - its first bytes, {@link MAGIC_BYTES} where it has as many
 * @returns how it is compressed, undefined where it is not
 */
export function findCompression(start: Buffer): LayerCompression | undefined {
  return MAGIC.find(([, magic]) => magic.every((byte, at) => start[at] === byte))?.[0]
}

/**
 * @param layer - all of its compressed bytes
 * @param name - of the layer, for errors
 * @returns its bytes
 * @throws BAD_IMAGE where they cannot be decompressed, or something else follows
 */
export async function* decodeLayer(
  layer: AsyncIterable<Buffer>,
  compression: LayerCompression,
  name: string,
): AsyncGenerator<Buffer> {
  const chunks = layer[Symbol.asyncIterator]()
  const next = async (): Promise<Buffer | undefined> => (await chunks.next()).value
  let rest = await next()
  // A decoder of zstd ends with its first frame, without a word of those after it.
  while (rest) {
    const decoder = compression === 'gzip' ? createGunzip() : createZstdDecompress()
    const feeding = feed(decoder, rest, next)
    feeding.catch((error: unknown) => decoder.destroy(error instanceof Error ? error : undefined))
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

/** @returns the bytes that the decoder left, where it ended before they did. */
async function feed(
  decoder: Gunzip | ZstdDecompress,
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
function write(decoder: Gunzip | ZstdDecompress, chunk: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (): void => reject(decoder.errored ?? new Error('the decoder was closed'))
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
