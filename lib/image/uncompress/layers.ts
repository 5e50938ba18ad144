// Finds the compressed layers among the blobs of a tar, and what they are uncompressed. A
// layer of an OCI manifest must have the diffID that the config of the image names.
import * as v from 'valibot'

import { ToolError } from '../../core/errors.ts'
import { SAVE_AGAIN } from '../../core/hints.ts'
import type { DigestedMember } from '../../tar/digest.ts'
import { BLOBS, blobPath, toDigest, type Digest } from '../digest.ts'
import { parseJson, type Members } from '../members.ts'
import { Manifest, PLAIN_TYPES } from '../oci-schemas.ts'

/** An uncompressed layer. */
export interface PlainLayer {
  /** Of its uncompressed bytes. */
  readonly digest: Digest
  readonly sizeBytes: number
}

const Config = v.object({ rootfs: v.object({ diff_ids: v.array(v.string()) }) })

/**
 * @param members - the members of the tar
 * @param decoded - the decompressed blobs, by their digest; an error if decompression failed,
 *   which matters only if the blob is a layer
 * @returns the uncompressed form of each compressed layer, by the digest of the blob
 * @throws BAD_IMAGE if one does not have the diffID that the config names
 */
export function findPlainLayers(
  members: Members,
  decoded: ReadonlyMap<string, PlainLayer | ToolError>,
): Map<string, PlainLayer> {
  const found = new Map<string, PlainLayer>()
  for (const manifest of findManifests(members)) {
    const diffIds = readDiffIds(members, manifest)
    for (const [index, { digest, mediaType }] of manifest.layers.entries()) {
      const diffId = diffIds[index]
      const plain = decoded.get(digest)
      if (!plain || diffId === undefined || diffId === digest) continue
      if (PLAIN_TYPES.has(mediaType)) found.set(digest, checked(digest, plain, diffId))
    }
  }
  return found
}

/** @returns the member of a blob, or undefined if the tar lacks it. */
export function findBlob(members: Members, digest: string): DigestedMember | undefined {
  const member = members.get(blobPath(digest))
  return member && toDigest(member.sha256) === digest ? member : undefined
}

function* findManifests(members: Members): Generator<Manifest> {
  for (const [path, member] of members) {
    const json = path.startsWith(BLOBS) && member.json ? parseJson(member) : undefined
    if (v.is(Manifest, json)) yield json
  }
}

// The tar may have a manifest of another platform without its config: then there are no
// diffIDs.
function readDiffIds(members: Members, { config, layers }: Manifest): readonly string[] {
  const member = findBlob(members, config.digest)
  const json = member && parseJson(member)
  if (!v.is(Config, json) || json.rootfs.diff_ids.length !== layers.length) return []
  return json.rootfs.diff_ids
}

function checked(digest: string, plain: PlainLayer | ToolError, diffId: string): PlainLayer {
  if (plain instanceof ToolError) throw plain
  if (plain.digest === diffId) return plain
  throw new ToolError(
    'BAD_IMAGE',
    `check layer "${digest}", decompressed: got ${plain.digest}, want ${diffId}`,
    { hint: SAVE_AGAIN },
  )
}
