// The part of a tar in the OCI image layout: what its blobs say of images. The
// newer engines write it beside docker's own manifest.json.
import * as v from 'valibot'

import { parseJson } from './json-member.ts'
import type { DigestedMember } from './tar-digest.ts'

/** The members of a tar by their path. */
export type Members = ReadonlyMap<string, DigestedMember>

/** Where the blobs lie, each named by its digest. */
export const BLOBS = 'blobs/sha256/'

/** What a manifest among the blobs says. */
export interface OciImage {
  /** Of the indexes that name it, then its own: the first is what an engine calls the image. */
  readonly digests: readonly string[]
  readonly configDigest: string
  readonly layerDigests: readonly string[]
}

const Descriptor = v.object({ digest: v.string() })
const Index = v.object({ manifests: v.array(Descriptor) })
const Manifest = v.object({ config: Descriptor, layers: v.array(Descriptor) })

/**
 * @returns what the manifests say, in the order of the tar
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md
 */
export function readManifests(members: Members): OciImage[] {
  // By the manifest that they name: to look through all of them for each would take
  // quadratic time on what was made for it.
  const naming = new Map<string, Set<string>>()
  for (const [index, { manifests }] of findBlobs(members, Index)) {
    for (const { digest } of manifests) {
      const indexes = naming.get(digest) ?? new Set()
      naming.set(digest, indexes.add(index))
    }
  }
  return Array.from(findBlobs(members, Manifest), ([digest, manifest]) => {
    return {
      digests: [...(naming.get(digest) ?? []), digest],
      configDigest: manifest.config.digest,
      layerDigests: manifest.layers.map((layer) => layer.digest),
    }
  })
}

function* findBlobs<T>(
  members: Members,
  schema: v.GenericSchema<unknown, T>,
): Generator<[digest: string, blob: T]> {
  for (const [path, member] of members) {
    if (!path.startsWith(BLOBS) || !member.json) continue
    const parsed = v.safeParse(schema, parseJson(member))
    if (parsed.success) yield [`sha256:${member.sha256}`, parsed.output]
  }
}
