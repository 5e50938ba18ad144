// Reads the OCI image layout in a tar: its manifests and indexes. Newer engines write it
// beside docker's own manifest.json.
import * as v from 'valibot'

import type { Descriptor } from './descriptor.ts'
import { BLOBS, toDigest, type Digest } from './digest.ts'
import { checkCount, MAX_ENTRIES, MAX_LAYERS } from './limits.ts'
import { checkKeys, checkParts, lengthIn, parseJson, type Members } from './members.ts'
import { Index, Manifest, mediaTypeOf, OCI_TYPES, READ_KEYS } from './oci-schemas.ts'

/** An image, as an OCI manifest describes it. */
export interface OciImage {
  /** The indexes that name the manifest. */
  readonly indexes: readonly Descriptor[]
  readonly manifest: Descriptor
  readonly configDigest: string
  readonly configType: string
  /** The media types of its layers, by digest. */
  readonly layerTypes: ReadonlyMap<string, string>
}

/** The same, without what only others tell of it. */
type OwnImage = Omit<OciImage, 'indexes'>

/** An index among the blobs. */
interface OciIndex {
  readonly index: Descriptor
  /** The digests that it names. */
  readonly names: readonly string[]
}

/** The manifests and indexes of a layout, by their digests, in the order of the tar. */
export interface OciLayout {
  readonly manifests: ReadonlyMap<Digest, OwnImage>
  readonly indexes: ReadonlyMap<Digest, OciIndex>
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
  const naming = new Map<string, Set<Descriptor>>()
  for (const { index, names } of indexes.values()) {
    for (const digest of names) {
      naming.set(digest, (naming.get(digest) ?? new Set()).add(index))
    }
  }
  return Array.from(manifests, ([digest, manifest]) => {
    return { indexes: [...(naming.get(digest) ?? [])], ...manifest }
  })
}

/**
 * @returns the blobs that are manifests or indexes; a blob may be both
 * @throws BAD_IMAGE if there are more entries or layers than the limits allow
 */
export function readLayout(members: Members): OciLayout {
  const manifests = new Map<Digest, OwnImage>()
  const indexes = new Map<Digest, OciIndex>()
  let entries = 0
  for (const [path, member] of members) {
    if (!path.startsWith(BLOBS) || !member.json) continue
    if (member.json.includes('"manifests"')) checkParts(member)
    const json = parseJson(member)
    const { sizeBytes } = member
    const digest = toDigest(member.sha256)
    entries += lengthIn(json, 'manifests')
    checkCount('entries of indexes', entries, MAX_ENTRIES)
    if (v.is(Index, json)) {
      checkKeys(member, READ_KEYS)
      const index = { mediaType: mediaTypeOf(json, OCI_TYPES.index), digest, sizeBytes }
      indexes.set(digest, { index, names: json.manifests.map((named) => named.digest) })
    }
    checkCount('layers', lengthIn(json, 'layers'), MAX_LAYERS)
    if (v.is(Manifest, json)) {
      checkKeys(member, READ_KEYS)
      const manifest = { mediaType: mediaTypeOf(json, OCI_TYPES.manifest), digest, sizeBytes }
      manifests.set(digest, { manifest, ...readManifest(json) })
    }
  }
  return { manifests, indexes }
}

function readManifest({ config, layers }: Manifest): Omit<OwnImage, 'manifest'> {
  return {
    configDigest: config.digest,
    configType: mediaTypeOf(config, OCI_TYPES.config),
    layerTypes: new Map(layers.map((layer) => [layer.digest, mediaTypeOf(layer, OCI_TYPES.layer)])),
  }
}
