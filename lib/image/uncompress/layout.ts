// Plans the OCI layout of a tar whose layers become uncompressed. The manifests then name
// other layers, so their own digests change, and those of the indexes that name them. The
// configs do not change, so the image ID of graph drivers and all diffIDs stay the same.
import * as v from 'valibot'

import { memberKey, type DigestedMember } from '../../tar/digest.ts'
import { blobPath, digestAt, digestOf, toDigest } from '../digest.ts'
import { parseJson, type Members } from '../members.ts'
import { readManifests, type OciImage } from '../oci-layout.ts'
import { Index, Manifest, PLAIN_TYPES, type Descriptor } from '../oci-schemas.ts'
import { findBlob, type PlainLayer } from './layers.ts'

/** How a member of the tar changes. */
export interface MemberChange {
  readonly was: DigestedMember
  /** Its new path. */
  readonly path: string
  /** Its new content, or the layer it becomes; neither if the tar has the same content already. */
  readonly content?: Buffer
  readonly layer?: PlainLayer
}

/** How a tar with compressed layers becomes a tar with uncompressed ones. */
export interface PlainLayout {
  /** The changes, by the path of the member; other members do not change. */
  readonly changes: ReadonlyMap<string, MemberChange>
  /** The images of the manifests before the change. */
  readonly before: readonly OciImage[]
}

const DockerManifest = v.array(v.looseObject({ Layers: v.array(v.string()) }))

type Blob = PlainLayer & { readonly content?: Buffer }

/**
 * Plans the changes. A blob that refers to a manifest, but is not part of its image, does
 * not change: an attestation or a signature is about the manifest in the registry, and its
 * author said nothing about the new one.
 *
 * @param members - the members of the tar
 * @param plain - the uncompressed form of each compressed layer, by the digest of the blob
 * @returns the changes
 */
export function planLayout(members: Members, plain: ReadonlyMap<string, PlainLayer>): PlainLayout {
  const renamed = new Map<string, Blob | undefined>(plain)
  const rename = (digest: string): Blob | undefined => {
    if (!renamed.has(digest)) {
      renamed.set(digest, undefined)
      const content = changeJson(findBlob(members, digest), rename)
      if (content) renamed.set(digest, describe(content))
    }
    return renamed.get(digest)
  }
  const wanted = Array.from(members, ([key, was]): MemberChange | undefined => {
    const content = changeFile(key, was, rename)
    if (content) return { was, path: key, content }
    const blob = digestAt(key) && rename(toDigest(was.sha256))
    return blob && changeBlob(was, blob)
  }).filter((change) => change !== undefined)
  return { changes: withoutDoubles(members, wanted), before: readManifests(members) }
}

function changeBlob(was: DigestedMember, { content, ...layer }: Blob): MemberChange {
  return { was, path: blobPath(layer.digest), ...(content ? { content } : { layer }) }
}

// Two changes may give the same blob: two layers may differ only in their compression, or
// the tar may have the uncompressed layer too. The tar gets such a blob once.
function withoutDoubles(
  members: Members,
  wanted: readonly MemberChange[],
): Map<string, MemberChange> {
  const changes = new Map(wanted.map((change) => [memberKey(change.was.path), change]))
  const taken = new Set([...members.keys()].filter((key) => !changes.has(key)))
  for (const [key, change] of changes) {
    if (taken.has(change.path)) changes.set(key, { was: change.was, path: change.path })
    taken.add(change.path)
  }
  return changes
}

function changeFile(key: string, member: DigestedMember, rename: Rename): Buffer | undefined {
  if (key === 'index.json') return changeJson(member, rename)
  if (key !== 'manifest.json') return undefined
  const json = parseJson(member)
  if (!v.is(DockerManifest, json)) return undefined
  const rewritten = json.map((image) => ({
    ...image,
    Layers: image.Layers.map((path) => {
      const digest = digestAt(memberKey(path))
      const blob = digest && rename(digest)
      return blob ? blobPath(blob.digest) : path
    }),
  }))
  const isSame = JSON.stringify(rewritten) === JSON.stringify(json)
  return isSame ? undefined : format(rewritten)
}

type Rename = (digest: string) => Blob | undefined

/** @returns the new content of a manifest or an index, or undefined if it does not change. */
function changeJson(member: DigestedMember | undefined, rename: Rename): Buffer | undefined {
  const json = member?.json && parseJson(member)
  if (v.is(Manifest, json)) {
    const layers = json.layers.map((layer) => changeLayer(layer, rename))
    return layers.some((layer, at) => layer !== json.layers[at])
      ? format({ ...json, layers })
      : undefined
  }
  if (!v.is(Index, json)) return undefined
  const manifests = json.manifests.map((named) => changeDescriptor(named, rename))
  return manifests.some((named, at) => named !== json.manifests[at])
    ? format({ ...json, manifests })
    : undefined
}

// Annotations of some builders that describe the compressed layer: the place of each file.
const OF_COMPRESSED =
  /^(containerd\.io\/snapshot\/stargz|io\.containers\.estargz|io\.github\.containers\.zstd-chunked)/

function changeLayer(layer: Descriptor, rename: Rename): Descriptor {
  const changed = changeDescriptor(layer, rename)
  if (changed === layer) return layer
  const { mediaType, annotations } = changed
  if (typeof mediaType === 'string') changed['mediaType'] = PLAIN_TYPES.get(mediaType) ?? mediaType
  if (typeof annotations === 'object' && annotations !== null) {
    const kept = Object.entries(annotations).filter(([name]) => !OF_COMPRESSED.test(name))
    changed['annotations'] = Object.fromEntries(kept)
  }
  return changed
}

// `data` is removed: it would be a copy of the old blob.
function changeDescriptor(named: Descriptor, rename: Rename): Descriptor {
  const blob = rename(named.digest)
  if (!blob) return named
  const { data: _, ...rest } = named
  return { ...rest, digest: blob.digest, size: blob.sizeBytes }
}

function describe(content: Buffer): Blob {
  return { digest: digestOf(content), sizeBytes: content.length, content }
}

function format(json: unknown): Buffer {
  return Buffer.from(JSON.stringify(json))
}
