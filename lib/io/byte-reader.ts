// What a decompressor gives is one stream; its parts are told by their sizes.
import { ToolError } from '../core/errors.ts'

/** Bytes of a stream, so many at a time. */
export interface ByteReader {
  /** @throws TRUNCATED_TAR, or what was asked for, where there are fewer. */
  readExactly(sizeBytes: number): AsyncGenerator<Buffer>
  /** @throws MISMATCH, or what was asked for, where there are more. */
  end(): Promise<void>
}

/**
 * @param toError - the error where there are more or fewer
 * @returns what takes a stream's bytes, from its start on
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

// Fewer come of a decompressor that died, too: it tells more of that.
function sizeMismatchError(what: 'fewer' | 'more'): ToolError {
  const message = `read segments: got ${what} bytes of tar than their metadata says`
  return new ToolError(what === 'fewer' ? 'TRUNCATED_TAR' : 'MISMATCH', message, {
    hint: 'archive and metadata do not belong together: copy both again from where they were made',
  })
}
