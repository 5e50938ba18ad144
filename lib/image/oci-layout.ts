// The part of a tar in the OCI image layout: what its blobs say of images. The
// newer engines write it beside docker's own manifest.json.
import * as v from 'valibot'

import { checkCount, MAX_ENTRIES, MAX_LAYERS } from './limits.ts'
import { checkKeys, checkParts, lengthIn, parseJson, type Members } from './members.ts'

/** Where the blobs lie, each named by its digest. */
export const BLOBS = 'blobs/sha256/'

/** What a manifest among the blobs says. */
export interface OciImage {
  /** Of the indexes that name it, then its own: the first is what an engine calls the image. */
  readonly digests: readonly string[]
  readonly configDigest: string
  readonly layerDigests: readonly string[]
}

/** What the blobs of a layout are, each by its digest, in the order of the tar. */
export interface OciLayout {
  readonly manifests: ReadonlyMap<string, Omit<OciImage, 'digests'>>
  /** The digests that each index names. */
  readonly indexes: ReadonlyMap<string, readonly string[]>
}

/** What engines read of indexes and manifests. */
export const READ_KEYS = [
  'manifests',
  'config',
  'layers',
  'digest',
  'mediaType',
  'platform',
  'annotations',
]
const Descriptor = v.object({ digest: v.string() })
const Index = v.object({ manifests: v.array(Descriptor) })
const Manifest = v.object({ config: Descriptor, layers: v.array(Descriptor) })

/**
 * @returns what the manifests say, in the order of the tar
 * @throws BAD_IMAGE where there is more than there may be
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md
 */
export function readManifests(
  members: Members,
  { manifests, indexes } = readLayout(members),
): OciImage[] {
  // By the manifest that they name: to look through all of them for each would take
  // quadratic time on what was made for it.
  const naming = new Map<string, Set<string>>()
  for (const [index, named] of indexes) {
    for (const digest of named) {
      naming.set(digest, (naming.get(digest) ?? new Set()).add(index))
    }
  }
  return Array.from(manifests, ([digest, manifest]) => {
    return { digests: [...(naming.get(digest) ?? []), digest], ...manifest }
  })
}

/**
 * @returns which blobs are manifests and indexes; one may be both
 * @throws BAD_IMAGE where one has more than there may be
 */
export function readLayout(members: Members): OciLayout {
  const manifests = new Map<string, Omit<OciImage, 'digests'>>()
  const indexes = new Map<string, readonly string[]>()
  let entries = 0
  for (const [path, member] of members) {
    if (!path.startsWith(BLOBS) || !member.json) continue
    if (member.json.includes('"manifests"')) checkParts(member)
    const json = parseJson(member)
    const digest = `sha256:${member.sha256}`
    entries += lengthIn(json, 'manifests')
    checkCount('entries of indexes', entries, MAX_ENTRIES)
    if (v.is(Index, json)) {
      checkKeys(member, READ_KEYS)
      indexes.set(digest, digestsOf(json.manifests))
    }
    checkCount('layers', lengthIn(json, 'layers'), MAX_LAYERS)
    if (v.is(Manifest, json)) {
      checkKeys(member, READ_KEYS)
      const layerDigests = digestsOf(json.layers)
      manifests.set(digest, { configDigest: json.config.digest, layerDigests })
    }
  }
  return { manifests, indexes }
}

function digestsOf(named: readonly { readonly digest: string }[]): string[] {
  return named.map(({ digest }) => digest)
}
