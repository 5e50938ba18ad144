// The tar of an engine without what its index says of the engine's host. A member's
// size stands before its content, so that has to be changed before the tar is digested
// and cut; times and owners, which keep their size, are set where it is.
import { isIndex, normalizeIndex } from './oci-index.ts'
import { BLOCK_BYTES, changeHeader } from '../tar/header.ts'
import { splitTar } from '../tar/splitter.ts'

/**
 * @param tar - of a saved image
 * @returns the same with its index normalized
 * @throws BAD_TAR, TRUNCATED_TAR
 */
export async function* normalizeTar(tar: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for await (const part of splitTar(tar, isIndex)) {
    if (!('member' in part)) {
      yield part
      continue
    }
    const chunks: Buffer[] = []
    for await (const chunk of part.content) chunks.push(Buffer.from(chunk))
    const content = Buffer.concat(chunks)
    const normal = normalizeIndex(content)
    yield normal === content ? part.header : changeHeader(part.header, 'index.json', normal.length)
    yield normal
    yield Buffer.alloc(-normal.length & (BLOCK_BYTES - 1))
  }
}
