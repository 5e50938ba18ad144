// Reads the OCI image layout in a tar: its manifests and indexes. Newer engines write it
// beside docker's own manifest.json.
import * as v from 'valibot'

import { BLOBS, toDigest, type Digest } from './digest.ts'
import { checkCount, MAX_ENTRIES, MAX_LAYERS } from './limits.ts'
import { checkKeys, checkParts, lengthIn, parseJson, type Members } from './members.ts'
import { Index, Manifest, READ_KEYS } from './oci-schemas.ts'

/** An image, as an OCI manifest describes it. */
export interface OciImage {
  /** Digests of the indexes that name the manifest, then its own: the first is the image ID in a containerd store. */
  readonly digests: readonly Digest[]
  readonly configDigest: string
  readonly layerDigests: readonly string[]
}

/** The manifests and indexes of a layout, by their digests, in the order of the tar. */
export interface OciLayout {
  readonly manifests: ReadonlyMap<Digest, Omit<OciImage, 'digests'>>
  /** The digests that each index names. */
  readonly indexes: ReadonlyMap<Digest, readonly string[]>
}

/**
 * @returns the images of the manifests, in the order of the tar
 * @throws BAD_IMAGE if there are more entries or layers than the limits allow
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md
 */
export function readManifests(
  members: Members,
  { manifests, indexes } = readLayout(members),
): OciImage[] {
  // The indexes, by the manifest that they name. A search through all indexes for each
  // manifest would take quadratic time, which a hostile tar could use.
  const naming = new Map<string, Set<Digest>>()
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
 * @returns the blobs that are manifests or indexes; a blob may be both
 * @throws BAD_IMAGE if there are more entries or layers than the limits allow
 */
export function readLayout(members: Members): OciLayout {
  const manifests = new Map<Digest, Omit<OciImage, 'digests'>>()
  const indexes = new Map<Digest, readonly string[]>()
  let entries = 0
  for (const [path, member] of members) {
    if (!path.startsWith(BLOBS) || !member.json) continue
    if (member.json.includes('"manifests"')) checkParts(member)
    const json = parseJson(member)
    const digest = toDigest(member.sha256)
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
