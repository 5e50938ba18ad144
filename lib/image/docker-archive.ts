// Reads the images in a docker-archive, the tar that `docker save` writes, in the layouts
// of all engines. It works on the digests of the members, and verifies each image whole.
import * as v from 'valibot'

import { compressionOf } from '../codec/detect.ts'
import { ToolError } from '../core/errors.ts'
import { SAVE_AGAIN } from '../core/hints.ts'
import {
  memberKey,
  type DecodedLayers,
  type DigestedMember,
  type TarDigest,
} from '../tar/digest.ts'
import { withoutDoubles, type Descriptor, type ImageDescriptors } from './descriptor.ts'
import { BLOBS, DigestSchema, hexOf, toDigest, type Digest } from './digest.ts'
import { checkCount, MAX_IMAGES, MAX_LAYERS, MAX_TAGS } from './limits.ts'
import { checkClashes } from './member-clashes.ts'
import {
  checkKeys,
  checkParts,
  lengthIn,
  parseJson,
  readJson,
  findMember,
  type Members,
} from './members.ts'
import { checkNames } from './names.ts'
import { readLayout, readManifests, type OciImage } from './oci-layout.ts'
import { DOCKER_TYPES, dockerLayerType } from './oci-schemas.ts'
import { formatPlatform } from './platform.ts'
import { readReference } from './reference.ts'
import { formatSettings } from './settings.ts'

/** A layer in a tar: media type, digest and size are of its bytes there, compressed or not. */
export interface ArchivedLayer extends Descriptor {
  readonly sizeBytes: number
  /** Of the uncompressed layer. */
  readonly diffId: Digest
}

/** An image in a tar; all its parts are verified. */
export interface ArchivedImage extends ImageDescriptors {
  /** The names that an engine gives it on load. */
  readonly repoTags: readonly string[]
  /** `os/architecture[/variant]`. */
  readonly platform: string
  /** The time of its creation, as in the config; absent if the config has no valid one. */
  readonly created?: string
  /** Its layers, from the base upwards. */
  readonly layers: readonly ArchivedLayer[]
  /** The settings that it runs with, see {@link formatSettings}; absent if its config was not read. */
  readonly settings?: string
}

/** Match `os/architecture[/variant]`, and a time. */
export const PLATFORM = /^[\w.+-]{0,64}(?:\/[\w.+-]{1,64}){0,3}$/
export const TIME = /^[\dTtZz:. +-]{1,40}$/

/** @returns whether a layer is compressed in its tar */
export function isCompressedLayer({ digest, diffId }: ArchivedLayer): boolean {
  return digest !== diffId
}

const Manifest = v.array(
  v.object({
    Config: v.string(),
    RepoTags: v.nullish(v.array(v.string()), []),
    Layers: v.nullish(v.array(v.string()), []),
  }),
)
type Entry = v.InferOutput<typeof Manifest>[number]

const First = v.looseTuple([v.looseObject({ Config: v.string() })])
const Config = v.object({
  os: v.nullish(v.string(), ''),
  architecture: v.nullish(v.string(), ''),
  variant: v.nullish(v.string()),
  created: v.nullish(v.string()),
  config: v.optional(v.unknown()),
  rootfs: v.object({ diff_ids: v.nullish(v.array(DigestSchema), []) }),
})

/** A layer that an increment lacks, because an earlier archive has it. */
export interface ExternalLayer {
  /** Of its bytes in a tar. */
  readonly digest: Digest
  readonly sizeBytes: number
  /** The path of its member in the tar. */
  readonly path: string
  /** File name of the earlier archive that has it. */
  readonly archive: string
}

/**
 * @param tar - the digest of a tar that was read to its end
 * @param external - the layers that it lacks; their digests and sizes are believed
 * @returns the images that its `manifest.json` names, in that order; none if the tar is
 *   not a saved image: it has no `manifest.json`, or one of another kind
 * @throws BAD_IMAGE if a part of an image is missing or has another digest, or if engines
 *   may see different images in the tar
 * @see https://github.com/moby/docker-image-spec/blob/main/v1.2.md
 */
export function readImages(
  tar: TarDigest,
  external: readonly ExternalLayer[] = [],
): ArchivedImage[] {
  const manifest = readManifest(tar.members?.get('manifest.json'))
  if (!tar.members || !manifest) return []
  const members = withExternal(tar.members, external)
  checkClashes(tar, members, new Set(manifest.flatMap((each) => [each.Config, ...each.Layers])))
  checkBlobs(members)
  const layout = readLayout(members)
  const own = Map.groupBy(readManifests(members, layout), ({ configDigest }) => configDigest)
  const images = manifest.map((entry) => readImage(entry, members, own, tar.decoded))
  checkNames(members, layout, images)
  return images
}

// Checks how many images, layers and tags there are before it validates them, because the
// validation of very many would take long.
function readManifest(
  member: DigestedMember | undefined,
): v.InferOutput<typeof Manifest> | undefined {
  // A tar that is not a saved image may have a file of this name too.
  if (!member?.json?.includes('"Config"')) return undefined
  checkParts(member)
  const json = parseJson(member)
  if (!Array.isArray(json) || !v.is(First, json)) return undefined
  checkCount('images', json.length, MAX_IMAGES)
  for (const entry of json) {
    checkCount('layers', lengthIn(entry, 'Layers'), MAX_LAYERS)
    checkCount('tags', lengthIn(entry, 'RepoTags'), MAX_TAGS)
  }
  const manifest = v.safeParse(Manifest, json)
  if (!manifest.success) return undefined
  checkKeys(member, Object.keys(Manifest.item.entries))
  return manifest.output
}

function withExternal(members: Members, external: readonly ExternalLayer[]): Members {
  const claimed = external.map(({ path, digest, sizeBytes }): [string, DigestedMember] => {
    const sha256 = hexOf(digest)
    const kind = { type: '0', linkPath: '', sparse: false, offsetBytes: 0 }
    return [memberKey(path), { path, sizeBytes, sha256, ...kind }]
  })
  return new Map([...claimed, ...members])
}

function readImage(
  entry: Entry,
  members: Members,
  manifests: ReadonlyMap<string, readonly OciImage[]>,
  decoded: DecodedLayers | undefined,
): ArchivedImage {
  const { sha256, sizeBytes } = findMember(members, entry.Config)
  const digest = toDigest(sha256)
  const config = readConfig(entry, members, digest)
  const own = manifests.get(digest) ?? []
  const [index, ...indexes] = withoutDoubles(own.flatMap((candidate) => candidate.indexes))
  checkCount('manifests', own.length + indexes.length + (index ? 1 : 0), MAX_TAGS)
  checkTags(entry.RepoTags)
  const platform = formatPlatform(config)
  if (!PLATFORM.test(platform)) throw badImage(digest, `platform: got "${platform}"`)
  const layerTypes = new Map(own.flatMap((candidate) => [...candidate.layerTypes]))
  return {
    repoTags: entry.RepoTags,
    platform,
    ...(TIME.test(config.created ?? '') && { created: String(config.created) }),
    ...(index && { index }),
    manifests: [...own.map(({ manifest }) => ({ ...manifest, platform })), ...indexes],
    config: { mediaType: own[0]?.configType ?? DOCKER_TYPES.config, digest, sizeBytes },
    layers: zip(entry.Layers, config.rootfs.diff_ids).map(([path, diffId]) => {
      const member = findMember(members, path)
      const layer = readLayer(member, diffId, layerTypes)
      checkDecoded(member, layer, decoded)
      return layer
    }),
    settings: formatSettings(config.config),
  }
}

// There are as many of both.
function zip(paths: readonly string[], diffIds: readonly Digest[]): [string, Digest][] {
  return diffIds.map((diffId, index) => [paths[index] ?? '', diffId])
}

function readConfig(
  { Config: path, Layers: layers }: Entry,
  members: Members,
  digest: Digest,
): v.InferOutput<typeof Config> {
  const member = findMember(members, path)
  checkName(path, member)
  const config = readJson(Config, member)
  const { length } = config.rootfs.diff_ids
  checkCount('layers', length, MAX_LAYERS)
  if (length !== layers.length) {
    throw badImage(digest, `layers: got ${layers.length}, want ${length}`)
  }
  return config
}

function badImage(digest: Digest, what: string): ToolError {
  return new ToolError('BAD_IMAGE', `check image "${digest}": ${what}`)
}

// Tags become arguments on the command line of an engine, so each must be a valid name.
function checkTags(tags: readonly string[]): void {
  for (const cause of tags.map(readReference)) {
    if (!(cause instanceof ToolError)) continue
    throw new ToolError('BAD_IMAGE', `read "manifest.json" of the image: ${cause.message}`, {
      cause,
    })
  }
}

// An uncompressed layer, which its first bytes show, must have the diffID as its digest. A
// compressed one must have a digest that an OCI manifest of the image names, or that is in
// its file name (crane writes such names). Whether its content has the diffID is only
// checked if the layer is decompressed.
function readLayer(
  member: DigestedMember,
  diffId: Digest,
  layerTypes: ReadonlyMap<string, string>,
): ArchivedLayer {
  const { path, sizeBytes, start } = member
  const digest = toDigest(member.sha256)
  const told = layerTypes.get(digest)
  if (digest === diffId) {
    return { mediaType: told ?? dockerLayerType(undefined), digest, sizeBytes, diffId }
  }
  // That of one that was left out is not known but by its name.
  const compression = start ? compressionOf(start) : 'gzip'
  const isNamedSo = COMPRESSED.exec(path)?.[1] === member.sha256
  if (compression !== undefined && (told !== undefined || isNamedSo)) {
    return { mediaType: told ?? dockerLayerType(compression), digest, sizeBytes, diffId }
  }
  throw mismatch(`layer "${path}"`, digest, diffId)
}

// If layers are decompressed at all, each compressed layer of the tar must have been, and
// must have its diffID. A failure such as a missing program is allowed: the layer then
// counts as not compared.
function checkDecoded(
  { path, start }: DigestedMember,
  layer: ArchivedLayer,
  decoded: DecodedLayers | undefined,
): void {
  if (!isCompressedLayer(layer) || !decoded) return
  const { diffId } = layer
  const plain = decoded.get(layer.digest)
  if (plain instanceof ToolError) {
    if (plain.code === 'BAD_IMAGE') throw plain
  } else if (plain?.digest !== diffId && (plain ?? start)) {
    throw mismatch(`layer "${path}", decompressed`, plain?.digest ?? 'nothing', diffId)
  }
}

/** @returns the number of compressed layers in a tar that were not compared with their diffIDs. */
export function countUncompared(
  images: readonly ArchivedImage[],
  { members = new Map(), decoded = new Map() }: TarDigest,
): number {
  const compressed = images.flatMap(({ layers }) => layers.filter(isCompressedLayer))
  const blobs = compressed.map(({ digest }) => digest)
  const here = new Set(Array.from(members.values(), ({ sha256 }) => toDigest(sha256)))
  return [...new Set(blobs)].filter((digest) => {
    const plain = decoded.get(digest)
    return here.has(digest) && (plain === undefined || plain instanceof ToolError)
  }).length
}

const COMPRESSED = /(?:^|\/)([0-9a-f]{64})\.tar\.gz$/

// An OCI layout names each blob by its digest, so all blobs must have it, used or not.
function checkBlobs(members: Members): void {
  for (const [path, member] of members) {
    if (path.startsWith(BLOBS) && member.type === '0') checkName(path, member)
  }
}

// If a name holds a digest, the content must have it: `<sha256>.json`,
// `sha256:<sha256>`, `blobs/sha256/<sha256>`.
function checkName(path: string, member: DigestedMember): void {
  const want = /(?:^|[/:])([0-9a-f]{64})(?:\.json)?$/.exec(path)?.[1]
  if (want !== undefined && want !== member.sha256) {
    throw mismatch(`"${path}"`, toDigest(member.sha256), toDigest(want))
  }
}

function mismatch(what: string, got: string, want: string): ToolError {
  return new ToolError('BAD_IMAGE', `check ${what}: got ${got}, want ${want}`, {
    hint: SAVE_AGAIN,
  })
}
