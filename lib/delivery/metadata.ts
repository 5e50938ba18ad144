// Reads and writes the metadata of an archive: a JSON file beside it. With it, verify and load
// can check more, and work faster. The file comes from another host on a disk, so it is
// untrusted input and is validated.
import * as v from 'valibot'

import { CODECS } from '../codec/formats.ts'
import { ToolError } from '../core/errors.ts'
import { hasControls } from '../core/visible-text.ts'
import { MEDIA_TYPE, manifestDigests } from '../image/descriptor.ts'
import { DigestSchema, type Digest } from '../image/digest.ts'
import { PLATFORM, TIME, type ArchivedImage } from '../image/docker-archive.ts'
import { MAX_IMAGES, MAX_LAYERS, MAX_TAGS } from '../image/limits.ts'
import { hasTooManyParts } from '../image/members.ts'
import { readReference } from '../image/reference.ts'

/** The version of the metadata that this tool writes, and the newest it reads; it reads 1, too. */
export const METADATA_SCHEMA = 2

// An image has at most 127 layers; a tar of several images has some more.
const MAX_SEGMENTS = 10_000

// The longest file name that common file systems allow, in bytes.
const MAX_NAME_BYTES = 255

const Sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'is not a sha256'))
const Md5 = v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/, 'is not an md5'))
const Bytes = v.pipe(v.number(), v.safeInteger('is not a size'), v.minValue(0, 'is not a size'))
const FileName = v.pipe(
  v.string(),
  v.check(
    (name) => !/[/\\\0]|^\.{0,2}$/.test(name),
    'is not a plain file name: metadata names nothing outside its directory',
  ),
  v.check((name) => Buffer.byteLength(name) <= MAX_NAME_BYTES, 'is longer than a name can be'),
  v.check((name) => !hasControls(name), 'has control characters'),
)
// Values that are shown to people or passed to engines.
const Word = (pattern: RegExp) =>
  v.pipe(v.string(), v.regex(pattern, 'has characters that do not belong there'))
const Platform = Word(PLATFORM)
// The pattern also has the sign that toISOString writes before years beyond 9999.
const Time = Word(TIME)
const Version = Word(/^[\w.+~ -]{0,64}$/)
const tooMany = 'are too many'

const Reference = v.pipe(v.string(), v.check(isReference, 'is not a valid image name'))

const MediaType = Word(MEDIA_TYPE)

const NAMES = {
  reference: v.exactOptional(Reference),
  repoTags: v.pipe(v.array(Reference), v.maxLength(MAX_TAGS, tooMany)),
  platform: Platform,
  created: v.exactOptional(Time),
}
const Descriptor = v.object({ mediaType: MediaType, digest: DigestSchema, sizeBytes: Bytes })
const Manifest = v.object({ ...Descriptor.entries, platform: v.exactOptional(Platform) })
const Layer = v.object({ ...Descriptor.entries, diffId: DigestSchema })

const Image = v.object({
  ...NAMES,
  index: v.exactOptional(Descriptor),
  manifests: v.pipe(v.array(Manifest), v.maxLength(MAX_TAGS, tooMany)),
  config: Descriptor,
  recompressed: v.exactOptional(v.literal(true)),
  layers: v.pipe(v.array(Layer), v.maxLength(MAX_LAYERS, tooMany)),
})

// It names blobs by their digests only, indexes among the manifests.
const ImageOfSchema1 = v.object({
  ...NAMES,
  imageId: v.exactOptional(DigestSchema),
  configDigest: DigestSchema,
  manifestDigests: v.pipe(v.array(DigestSchema), v.maxLength(MAX_TAGS, tooMany)),
  recompressed: v.exactOptional(v.literal(true)),
  layers: v.pipe(
    v.array(
      v.object({
        diffId: DigestSchema,
        sizeBytes: Bytes,
        blobDigest: v.exactOptional(DigestSchema),
      }),
    ),
    v.maxLength(MAX_LAYERS, tooMany),
  ),
})

const Segment = v.object({
  offsetBytes: Bytes,
  sizeBytes: Bytes,
  sha256: Sha256,
  tarOffsetBytes: Bytes,
  tarSizeBytes: Bytes,
  layerDigest: v.exactOptional(DigestSchema),
})

const ExternalLayerSchema = v.object({
  digest: DigestSchema,
  sizeBytes: Bytes,
  path: v.pipe(v.string(), v.check(isPlainPath, 'is not a path inside a tar')),
  archive: FileName,
})

const PARTS = {
  archive: v.object({
    file: FileName,
    sizeBytes: Bytes,
    sha256: Sha256,
    codec: v.picklist(CODECS, 'is not a codec that is known here'),
    level: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(22)),
    windowLog: v.exactOptional(v.pipe(v.number(), v.integer(), v.minValue(10), v.maxValue(31))),
    compressor: v.object({ name: Version, version: Version }),
  }),
  tar: v.object({
    sizeBytes: Bytes,
    contentMd5: v.exactOptional(Md5),
    modified: v.exactOptional(Time),
  }),
  segments: v.pipe(v.array(Segment), v.maxLength(MAX_SEGMENTS, tooMany)),
  requires: v.exactOptional(
    v.pipe(v.array(ExternalLayerSchema), v.maxLength(MAX_SEGMENTS, tooMany)),
  ),
}
const Metadata = v.object({
  schema: v.literal(METADATA_SCHEMA),
  images: v.pipe(v.array(Image), v.maxLength(MAX_IMAGES, tooMany)),
  ...PARTS,
})
const MetadataOfSchema1 = v.object({
  schema: v.literal(1),
  images: v.pipe(v.array(ImageOfSchema1), v.maxLength(MAX_IMAGES, tooMany)),
  ...PARTS,
})
type Parts = Omit<v.InferOutput<typeof Metadata>, 'schema' | 'images'>

/**
 * A part of an archive that was compressed on its own. If it is a layer, `layerDigest` is the
 * digest of that layer.
 */
export type Segment = v.InferOutput<typeof Segment>

/** A layer that is known by its digest and size, wherever its bytes are. */
export interface CachedLayer {
  /** Of its content as it lies in a tar. */
  readonly digest: Digest
  readonly sizeBytes: number
}

/** An image as metadata knows it: what is in the tar, and what was asked for. */
export interface SavedImage extends ArchivedImage {
  /** The reference as it is in the list. */
  readonly reference?: string
  /** As the engine gave it, in schema 1: a digest of config, manifest or index. */
  readonly imageId?: Digest
  /** Whether the engine had compressed layers that lie uncompressed in the tar. */
  readonly recompressed?: true
}

/**
 * What is known of an archive. `images` are those in its tar, empty where the
 * tar is no saved image; `tar.modified` is the time of the tar that
 * `compress_tars` read; sizes and offsets are in bytes. Of schema 1, descriptors lack
 * media types, and all but those of layers their sizes.
 */
export type ArchiveMetadata = Parts & {
  readonly schema: 1 | typeof METADATA_SCHEMA
  readonly images: readonly SavedImage[]
}

/**
 * @param text - the text of a metadata file
 * @param file - its name, for errors
 * @throws BAD_RECORD if the text is not metadata, or has a newer schema
 */
export function parseMetadata(text: string, file: string): ArchiveMetadata {
  const json = parseJson(text, file)
  const schema = v.safeParse(v.object({ schema: v.number() }), json)
  if (schema.success && schema.output.schema > METADATA_SCHEMA) {
    throw new ToolError(
      'BAD_RECORD',
      `read "${file}": schema: got ${schema.output.schema}, want at most ${METADATA_SCHEMA}`,
      { hint: 'use the tools that came with the archives' },
    )
  }
  const isOld = schema.success && schema.output.schema === 1
  // Of a million wrong values one is enough.
  const once = { abortEarly: true }
  const parsed = isOld
    ? v.safeParse(MetadataOfSchema1, json, once)
    : v.safeParse(Metadata, json, once)
  if (parsed.success) {
    checkSegments(parsed.output, file)
    return isOfSchema1(parsed.output) ? fromSchema1(parsed.output) : parsed.output
  }
  const [issue] = parsed.issues
  throw badMetadata(file, `${v.getDotPath(issue) ?? 'metadata'}: ${issue.message}`)
}

/**
 * @returns the metadata as text, its keys in an order that never changes; what was read
 *   of schema 1 as it was
 */
export function formatMetadata(metadata: ArchiveMetadata): string {
  const output =
    metadata.schema === 1
      ? v.parse(MetadataOfSchema1, { ...metadata, images: metadata.images.map(toSchema1) })
      : v.parse(Metadata, metadata)
  return `${JSON.stringify(output, undefined, 2)}\n`
}

type OldMetadata = v.InferOutput<typeof MetadataOfSchema1>
type OldImage = v.InferOutput<typeof ImageOfSchema1>

function isOfSchema1(
  metadata: OldMetadata | v.InferOutput<typeof Metadata>,
): metadata is OldMetadata {
  return metadata.schema === 1
}

function fromSchema1({ images, ...metadata }: OldMetadata): ArchiveMetadata {
  return {
    ...metadata,
    images: images.map(({ configDigest, manifestDigests: digests, layers, ...image }) => ({
      ...image,
      manifests: digests.map((digest) => ({ digest })),
      config: { digest: configDigest },
      layers: layers.map(({ diffId, sizeBytes, blobDigest: digest = diffId }) => {
        return { digest, sizeBytes, diffId }
      }),
    })),
  }
}

function toSchema1({ config, layers, ...image }: SavedImage): OldImage {
  return {
    ...image,
    repoTags: [...image.repoTags],
    configDigest: config.digest,
    manifestDigests: manifestDigests(image),
    layers: layers.map(({ digest, sizeBytes, diffId }) => {
      return { diffId, sizeBytes, ...(digest !== diffId && { blobDigest: digest }) }
    }),
  }
}

// They lie one after the other, and are all of the archive and of the tar.
function checkSegments({ archive, tar, segments }: Parts, file: string): void {
  let offsetBytes = 0
  let tarOffsetBytes = 0
  for (const [index, segment] of segments.entries()) {
    const where = `segments.${index}`
    checkOffset(`${where}.offsetBytes`, segment.offsetBytes, offsetBytes, file)
    checkOffset(`${where}.tarOffsetBytes`, segment.tarOffsetBytes, tarOffsetBytes, file)
    offsetBytes += segment.sizeBytes
    tarOffsetBytes += segment.tarSizeBytes
  }
  checkOffset('end of the segments', offsetBytes, archive.sizeBytes, file)
  checkOffset('end of the segments in the tar', tarOffsetBytes, tar.sizeBytes, file)
}

function checkOffset(what: string, got: number, want: number, file: string): void {
  if (got !== want) throw badMetadata(file, `${what}: got ${got}, want ${want}`)
}

function isPlainPath(path: string): boolean {
  return path !== '' && Buffer.byteLength(path) <= 100 && !/^\/|(^|\/)\.\.(\/|$)|\0/.test(path)
}

// A reference is passed to the engine on its command line, so it must be valid.
function isReference(text: string): boolean {
  return !(readReference(text) instanceof ToolError)
}

function parseJson(text: string, file: string): unknown {
  try {
    if (!hasTooManyParts(Buffer.from(text))) return JSON.parse(text)
  } catch {
    throw badMetadata(file, 'not JSON')
  }
  throw badMetadata(file, 'it has more parts than metadata have')
}

function badMetadata(file: string, why: string): ToolError {
  return new ToolError('BAD_RECORD', `read "${file}": ${why}`, {
    hint: 'the archive itself may be whole: remove its metadata to use it without that proof',
  })
}
