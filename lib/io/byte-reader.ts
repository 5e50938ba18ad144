// Reads a stream in parts of known size: a decompressor gives one stream for all the
// segments that it decompresses.
import { ToolError } from '../core/errors.ts'
import { COPY_UNRELATED } from '../core/hints.ts'

/** Reads the bytes of a stream, a given number at a time. */
export interface ByteReader {
  /** @throws TRUNCATED_TAR, or the error of `toError`, if the stream has fewer bytes left. */
  readExactly(sizeBytes: number): AsyncGenerator<Buffer>
  /** @throws MISMATCH, or the error of `toError`, if the stream has more bytes. */
  end(): Promise<void>
}

/**
 * @param stream - the stream; it is read from its start
 * @param toError - makes the error if the stream has fewer or more bytes than wanted
 * @returns the reader of the stream
 */
export function createByteReader(
  stream: AsyncIterable<Buffer>,
  toError: (what: 'fewer' | 'more') => ToolError = sizeMismatchError,
): ByteReader {
  const chunks = stream[Symbol.asyncIterator]()
  let rest: Buffer = Buffer.alloc(0)
  const next = async (): Promise<boolean> => {
    const { done = false, value } = await chunks.next()
    if (!done) rest = value
    return !done
  }
  return {
    async *readExactly(sizeBytes) {
      for (let left = sizeBytes; left > 0;) {
        if (rest.length === 0 && !(await next())) throw toError('fewer')
        const chunk = rest.subarray(0, left)
        rest = rest.subarray(chunk.length)
        left -= chunk.length
        yield chunk
      }
    },
    async end() {
      if (rest.length > 0 || (await next())) throw toError('more')
    },
  }
}

/**
 * @returns the error of segments that do not hold what their metadata says; TRUNCATED_TAR
 *   counts as a secondary error: a decompressor that died gives fewer bytes too, and its
 *   own error says more
 */
export function sizeMismatchError(what: 'fewer' | 'more'): ToolError {
  const message = `read segments: got ${what} bytes of tar than their metadata says`
  return new ToolError(what === 'fewer' ? 'TRUNCATED_TAR' : 'MISMATCH', message, {
    hint: COPY_UNRELATED,
  })
}
