// Turns a tar with compressed layers into one with the same layers uncompressed. A header
// with the size comes before the content, so the tar is read twice: first to learn the
// layers, then to change it. The second read must give what the first one gave.
import { createHash } from 'node:crypto'

import { ToolError } from '../../core/errors.ts'
import { CHANGED_WHILE_SAVED } from '../../core/hints.ts'
import { TarDigester, memberKey } from '../../tar/digest.ts'
import { changeHeader, padding } from '../../tar/header.ts'
import type { TarMember } from '../../tar/parser.ts'
import { splitTar, type SplitMember } from '../../tar/splitter.ts'
import { digestAt, toDigest } from '../digest.ts'
import { decodeLayer } from './layer-decoder.ts'
import { findPlainLayers, type PlainLayer } from './layers.ts'
import { planLayout, type MemberChange, type PlainLayout } from './layout.ts'

/**
 * @param tar - the tar of a saved image
 * @returns the changes for {@link plainTar}, or undefined if no layer is compressed
 * @throws BAD_IMAGE if a layer cannot be decompressed, or does not have its diffID; BAD_TAR
 *   if the tar is damaged; TRUNCATED_TAR if it stops before its end
 */
export async function learnLayout(tar: AsyncIterable<Buffer>): Promise<PlainLayout | undefined> {
  const digester = new TarDigester({ normalize: false, md5: false })
  const decoded = new Map<string, PlainLayer | ToolError>()
  for await (const part of splitTar(digested(tar, digester), isBlob)) {
    if (!('member' in part)) continue
    const digest = digestAt(memberKey(part.member.path))
    if (digest !== undefined) decoded.set(digest, await decode(part))
  }
  const { members = new Map() } = digester.end()
  const plain = findPlainLayers(members, decoded)
  return plain.size > 0 ? planLayout(members, plain) : undefined
}

/**
 * @param tar - the same tar, from a second read
 * @returns the tar of the same image with uncompressed layers
 * @throws BAD_IMAGE if the tar differs from the first read; BAD_TAR if it is damaged;
 *   TRUNCATED_TAR if it stops before its end
 */
export async function* plainTar(
  tar: AsyncIterable<Buffer>,
  { changes }: PlainLayout,
): AsyncGenerator<Buffer> {
  const left = new Map(changes)
  const isChanged = ({ path, type }: TarMember): boolean =>
    type === '0' && changes.has(memberKey(path))
  for await (const part of splitTar(tar, isChanged)) {
    if (!('member' in part)) yield part
    else {
      const key = memberKey(part.member.path)
      const change = left.get(key)
      left.delete(key)
      if (change) yield* changeMember(part, change)
    }
  }
  const [missing] = left.keys()
  if (missing !== undefined) throw mismatchError(missing, 'nothing', 'what was there before')
}

function isBlob({ path, type, sparse }: TarMember): boolean {
  return type === '0' && !sparse && digestAt(memberKey(path)) !== undefined
}

async function* digested(
  tar: AsyncIterable<Buffer>,
  digester: TarDigester,
): AsyncGenerator<Buffer> {
  for await (const chunk of tar) {
    digester.write(chunk)
    yield chunk
  }
}

// Returns the error if the blob cannot be decompressed: a blob that is not a layer may begin
// with the same bytes as a compressed one.
async function decode({ member, content }: SplitMember): Promise<PlainLayer | ToolError> {
  const hash = createHash('sha256')
  let sizeBytes = 0
  try {
    for await (const chunk of decodeLayer(content, member.path)) {
      hash.update(chunk)
      sizeBytes += chunk.length
    }
  } catch (error) {
    if (error instanceof ToolError && error.code === 'BAD_IMAGE') return error
    throw error
  }
  return { digest: toDigest(hash.digest('hex')), sizeBytes }
}

async function* changeMember(
  { member, header, content }: SplitMember,
  change: MemberChange,
): AsyncGenerator<Buffer> {
  const { was, path, layer } = change
  const old = expect(content, { digest: toDigest(was.sha256), ...was }, member.path)
  if (layer) {
    yield changeHeader(header, path, layer.sizeBytes)
    yield* expect(decodeLayer(old, member.path), layer, path)
    yield padding(layer.sizeBytes)
    return
  }
  for await (const _ of old) void _
  const { content: bytes } = change
  if (bytes) yield* [changeHeader(header, path, bytes.length), bytes, padding(bytes.length)]
}

async function* expect(
  chunks: AsyncIterable<Buffer>,
  { digest, sizeBytes }: PlainLayer,
  path: string,
): AsyncGenerator<Buffer> {
  const hash = createHash('sha256')
  let gotBytes = 0
  for await (const chunk of chunks) {
    gotBytes += chunk.length
    if (gotBytes > sizeBytes) break
    hash.update(chunk)
    yield chunk
  }
  const got = toDigest(hash.digest('hex'))
  if (gotBytes !== sizeBytes) throw mismatchError(path, `${gotBytes} bytes or more`, `${sizeBytes}`)
  if (got !== digest) throw mismatchError(path, got, digest)
}

function mismatchError(path: string, got: string, want: string): ToolError {
  return new ToolError('BAD_IMAGE', `save "${path}" of the image: got ${got}, want ${want}`, {
    hint: CHANGED_WHILE_SAVED,
  })
}
