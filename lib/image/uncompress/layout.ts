// The OCI layout of a tar whose compressed layers become plain: the manifests
// name other layers, so their own digests change, and with them the indexes
// above. Configs stay, and so do the image's identity and all of its diffIDs.
import { createHash } from 'node:crypto'

import * as v from 'valibot'

import { memberKey, type DigestedMember } from '../../tar/digest.ts'
import { parseJson, type Members } from '../members.ts'
import { BLOBS, readManifests, type OciImage } from '../oci-layout.ts'
import { findBlob, PLAIN_TYPES, type PlainLayer } from './layers.ts'

/** What becomes of a member of the tar. */
export interface MemberChange {
  readonly was: DigestedMember
  /** Where it lies from now on. */
  readonly path: string
  /** What it becomes: neither where the tar has that already. */
  readonly content?: Buffer
  readonly layer?: PlainLayer
}

/** How a tar with compressed layers becomes one with plain ones. */
export interface PlainLayout {
  /** By the path of the member; all others stay as they are. */
  readonly changes: ReadonlyMap<string, MemberChange>
  /** The images as their manifests called them before. */
  readonly before: readonly OciImage[]
}

const Descriptor = v.looseObject({ digest: v.string(), data: v.optional(v.unknown()) })
const Manifest = v.object({ config: Descriptor, layers: v.array(Descriptor) })
const Index = v.object({ manifests: v.array(Descriptor) })
const DockerManifest = v.array(v.looseObject({ Layers: v.array(v.string()) }))

type Descriptor = v.InferOutput<typeof Descriptor>
type Blob = PlainLayer & { readonly content?: Buffer }

/**
 * What refers to a manifest but is no part of its image stays as it is: an
 * attestation, or a signature, is about the manifest of the registry, and to
 * point it at another one would have it say what nobody said.
 *
 * @param plain - the compressed layers, by the digest of the blob
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
    const blob = key.startsWith(BLOBS) ? rename(`sha256:${was.sha256}`) : undefined
    return blob && changeBlob(was, blob)
  }).filter((change) => change !== undefined)
  return { changes: withoutDoubles(members, wanted), before: readManifests(members) }
}

function changeBlob(was: DigestedMember, { content, ...layer }: Blob): MemberChange {
  return { was, path: pathOf(layer.digest), ...(content ? { content } : { layer }) }
}

// Two layers may differ in how they are compressed only, or lie there plain too.
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
      const blob = rename(memberKey(path).replace(BLOBS, 'sha256:'))
      return blob ? pathOf(blob.digest) : path
    }),
  }))
  const isSame = JSON.stringify(rewritten) === JSON.stringify(json)
  return isSame ? undefined : format(rewritten)
}

type Rename = (digest: string) => Blob | undefined

/** @returns what a manifest or an index becomes; undefined if it stays. */
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

// Some builders describe the compressed form: where in it each file lies.
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

// `data` would be a copy of what it named before.
function changeDescriptor(named: Descriptor, rename: Rename): Descriptor {
  const blob = rename(named.digest)
  if (!blob) return named
  const { data: _, ...changed } = { ...named, digest: blob.digest, size: blob.sizeBytes }
  return changed
}

function describe(content: Buffer): Blob {
  const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`
  return { digest, sizeBytes: content.length, content }
}

function pathOf(digest: string): string {
  return digest.replace(/^sha256:/, BLOBS)
}

function format(json: unknown): Buffer {
  return Buffer.from(JSON.stringify(json))
}
