// What `docker save` writes, in the layouts of all engines: from the digests
// of a tar's members to the images in it, each verified whole.
import * as v from 'valibot'

import { compressionOf } from '../codec/detect.ts'
import { ToolError } from '../core/errors.ts'
import {
  memberKey,
  type DecodedLayers,
  type DigestedMember,
  type TarDigest,
} from '../tar/digest.ts'
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
import { BLOBS, readLayout, readManifests, type OciImage } from './oci-layout.ts'
import { formatPlatform } from './platform.ts'
import { readReference } from './reference.ts'
import { formatSettings } from './settings.ts'

/** A layer as it lies in a tar. */
export interface ArchivedLayer {
  /** `sha256:…` of the uncompressed layer. */
  readonly diffId: string
  /** Its size as it lies in the tar. */
  readonly sizeBytes: number
  /** `sha256:…` of the layer as it lies in the tar, where it is compressed there. */
  readonly blobDigest?: string
}

/** An image in a tar, every byte of it accounted for. */
export interface ArchivedImage {
  /** The names under which an engine loads it. */
  readonly repoTags: readonly string[]
  /** `os/architecture[/variant]`. */
  readonly platform: string
  /** As in the config; absent where the config does not say. */
  readonly created?: string
  /** The image ID on a graph-driver store. */
  readonly configDigest: string
  /** Digests of its OCI manifests and the indexes they stand in: the first is the image ID on a containerd store. */
  readonly manifestDigests: readonly string[]
  /** From the base upwards. */
  readonly layers: readonly ArchivedLayer[]
  /** What it runs with, see {@link formatSettings}; absent where its config was not read. */
  readonly settings?: string
}

/** Forms of `os/architecture[/variant]`, and of a time. */
export const PLATFORM = /^[\w.+-]{0,64}(?:\/[\w.+-]{1,64}){0,3}$/
export const TIME = /^[\dTtZz:. +-]{1,40}$/

/** @returns `sha256:…` of a layer as it lies in a tar. */
export function layerDigest({ diffId, blobDigest }: ArchivedLayer): string {
  return blobDigest ?? diffId
}

const Manifest = v.array(
  v.object({
    Config: v.string(),
    RepoTags: v.nullish(v.array(v.string()), []),
    Layers: v.nullish(v.array(v.string()), []),
  }),
)
const First = v.looseTuple([v.looseObject({ Config: v.string() })])
const DiffId = v.pipe(v.string(), v.regex(/^sha256:[0-9a-f]{64}$/, 'is not a sha256 digest'))
const Config = v.object({
  os: v.nullish(v.string(), ''),
  architecture: v.nullish(v.string(), ''),
  variant: v.nullish(v.string()),
  created: v.nullish(v.string()),
  config: v.optional(v.unknown()),
  rootfs: v.object({ diff_ids: v.nullish(v.array(DiffId), []) }),
})

/** A layer that an increment leaves to an earlier archive. */
export interface ExternalLayer {
  /** `sha256:…` of its content as it lies in a tar. */
  readonly digest: string
  readonly sizeBytes: number
  /** Where it would lie in the tar. */
  readonly path: string
  /** File name of the archive that carried it. */
  readonly archive: string
}

/**
 * @param tar - a tar read to its end
 * @param external - layers that it lacks, taken to be what they are said to be
 * @returns the images that its `manifest.json` names, in that order; none
 *   where it has no such member, or one of another kind: then not a saved image
 * @throws BAD_IMAGE where anything of an image is missing or has another digest
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

// How many there are of everything is looked at before what they are.
function readManifest(
  member: DigestedMember | undefined,
): v.InferOutput<typeof Manifest> | undefined {
  // A file of that name may be anything.
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
    const sha256 = digest.slice('sha256:'.length)
    const kind = { type: '0', linkPath: '', sparse: false, offsetBytes: 0 }
    return [memberKey(path), { path, sizeBytes, sha256, ...kind }]
  })
  return new Map([...claimed, ...members])
}

function readImage(
  entry: v.InferOutput<typeof Manifest>[number],
  members: Members,
  manifests: ReadonlyMap<string, readonly OciImage[]>,
  decoded: DecodedLayers | undefined,
): ArchivedImage {
  const configMember = findMember(members, entry.Config)
  const configDigest = `sha256:${configMember.sha256}`
  checkName(entry.Config, configMember)
  const config = readJson(Config, configMember)
  const diffIds = config.rootfs.diff_ids
  checkCount('layers', diffIds.length, MAX_LAYERS)
  if (diffIds.length !== entry.Layers.length) {
    throw new ToolError(
      'BAD_IMAGE',
      `check image "${configDigest}": layers: got ${entry.Layers.length}, want ${diffIds.length}`,
    )
  }
  const own = manifests.get(configDigest) ?? []
  const manifestDigests = [...new Set(own.flatMap((candidate) => candidate.digests))]
  checkCount('manifests', manifestDigests.length, MAX_TAGS)
  const blobs = new Set(own.flatMap((candidate) => candidate.layerDigests))
  checkTags(entry.RepoTags)
  const platform = formatPlatform(config)
  if (!PLATFORM.test(platform)) {
    throw new ToolError('BAD_IMAGE', `check image "${configDigest}": platform: got "${platform}"`)
  }
  return {
    repoTags: entry.RepoTags,
    platform,
    ...(TIME.test(config.created ?? '') && { created: String(config.created) }),
    configDigest,
    manifestDigests,
    layers: entry.Layers.map((path, index) => {
      const member = findMember(members, path)
      const layer = readLayer(member, String(diffIds[index]), blobs)
      checkDecoded(member, layer, decoded)
      return layer
    }),
    settings: formatSettings(config.config),
  }
}

// They end up on the engine's command line.
function checkTags(tags: readonly string[]): void {
  for (const cause of tags.map(readReference)) {
    if (!(cause instanceof ToolError)) continue
    throw new ToolError('BAD_IMAGE', `read "manifest.json" of the image: ${cause.message}`, {
      cause,
    })
  }
}

// A layer is its diffID where it lies uncompressed, as its first bytes tell; a
// compressed one is what the image's OCI manifest says, or, without one, what its name
// promises (as crane writes it): that it is the diffID as well is found where it is
// decompressed.
function readLayer(
  member: DigestedMember,
  diffId: string,
  blobs: ReadonlySet<string>,
): ArchivedLayer {
  const digest = `sha256:${member.sha256}`
  const { sizeBytes } = member
  if (digest === diffId) return { diffId, sizeBytes }
  const isPlain = member.start && compressionOf(member.start) === undefined
  const isNamedSo = COMPRESSED.exec(member.path)?.[1] === member.sha256
  if (!isPlain && (blobs.has(digest) || isNamedSo)) return { diffId, sizeBytes, blobDigest: digest }
  throw mismatch(`layer "${member.path}"`, digest, diffId)
}

// Where layers are decompressed, all that are here have to be, but for want of a program.
function checkDecoded(
  { path, start }: DigestedMember,
  { diffId, blobDigest }: ArchivedLayer,
  decoded: DecodedLayers | undefined,
): void {
  if (blobDigest === undefined || !decoded) return
  const plain = decoded.get(blobDigest)
  if (plain instanceof ToolError) {
    if (plain.code === 'BAD_IMAGE') throw plain
  } else if (plain?.digest !== diffId && (plain ?? start)) {
    throw mismatch(`layer "${path}", decompressed`, plain?.digest ?? 'nothing', diffId)
  }
}

/** @returns how many compressed layers in a tar were not compared with their diffIDs. */
export function countUncompared(
  images: readonly ArchivedImage[],
  { members = new Map(), decoded = new Map() }: TarDigest,
): number {
  const blobs = images.flatMap(({ layers }) => layers.flatMap(({ blobDigest = [] }) => blobDigest))
  const here = new Set(Array.from(members.values(), ({ sha256 }) => `sha256:${sha256}`))
  return [...new Set(blobs)].filter((digest) => {
    const plain = decoded.get(digest)
    return here.has(digest) && (plain === undefined || plain instanceof ToolError)
  }).length
}

const COMPRESSED = /(?:^|\/)([0-9a-f]{64})\.tar\.gz$/

// An OCI layout names each blob by its digest: whatever is there must fit.
function checkBlobs(members: Members): void {
  for (const [path, member] of members) {
    if (path.startsWith(BLOBS) && member.type === '0') checkName(path, member)
  }
}

// `<sha256>.json`, `sha256:<sha256>`, `blobs/sha256/<sha256>`: a name that
// holds a digest promises it.
function checkName(path: string, member: DigestedMember): void {
  const want = /(?:^|[/:])([0-9a-f]{64})(?:\.json)?$/.exec(path)?.[1]
  if (want !== undefined && want !== member.sha256) {
    throw mismatch(`"${path}"`, `sha256:${member.sha256}`, `sha256:${want}`)
  }
}

function mismatch(what: string, got: string, want: string): ToolError {
  return new ToolError('BAD_IMAGE', `check ${what}: got ${got}, want ${want}`, {
    hint: 'the image is damaged: pull and save it again',
  })
}
