// Removes the host's own data from the `index.json` in an engine's tar. That changes the size
// of a member, which is in its header, so it is done before the tar is digested and split.
// Times and owners do not change a size: the digest sets them, in place.
import { changeHeader, padding } from '../tar/header.ts'
import { splitTar } from '../tar/splitter.ts'
import { isIndex, normalizeIndex } from './oci-index.ts'

/**
 * @param tar - the tar of a saved image
 * @returns the same tar with a normalized `index.json`
 * @throws BAD_TAR if the tar is damaged; TRUNCATED_TAR if it stops before its end
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
    yield padding(normal.length)
  }
}
