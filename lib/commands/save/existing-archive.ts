// Finds out whether the delivery already has the archive of an image, or something else under
// its name.
import { basename, join } from 'node:path'

import type { Coding } from '../../codec/formats.ts'
import { ToolError } from '../../core/errors.ts'
import type { RunContext } from '../../core/outcome.ts'
import type { Catalog } from '../../delivery/catalog.ts'
import { forgetArchive } from '../../delivery/commit.ts'
import type { Directory } from '../../delivery/directory.ts'
import {
  examineArchive,
  examineBeside,
  isUpToDate,
  readValidMetadata,
} from '../../delivery/existing-archive.ts'
import type { FoundMetadata } from '../../delivery/layer-index.ts'
import type { ArchiveMetadata, SavedImage } from '../../delivery/metadata.ts'
import { archiveName, archiveNames, incrementName } from '../../delivery/name.ts'
import { isCompressedLayer } from '../../image/docker-archive.ts'
import type { ImageReference } from '../../image/reference.ts'
import type { ImageSource, StoredImage } from '../../image/source.ts'
import { findDelivered } from './cached-layers.ts'

/** What to do with layers; `D` stands for a directory. */
export interface LayerOptions<D> {
  /** Whether to store layers uncompressed that the source has compressed. */
  readonly recompress: boolean
  /** Whether to decompress compressed layers and compare them with the config of the image. */
  readonly verifyLayers: boolean
  /** Other directories with archives from which layers can be copied. */
  readonly reuse: readonly D[]
  /** Directories with the metadata of earlier deliveries, whose layers are left out. */
  readonly since: readonly D[]
}

/** How to archive an image. */
export interface ImageArchiveOptions extends RunContext {
  /** The delivery. */
  readonly directory: Directory
  readonly coding: Coding
  readonly layers: LayerOptions<Catalog>
  /** Whether to make the whole archive again, even if it is up to date. */
  readonly force: boolean
}

/** An image, and the source that has it and can compare it. */
export interface SourceImage {
  readonly image: StoredImage
  readonly source: Pick<ImageSource, 'isSame'>
}

/**
 * @returns the archive that already holds exactly this image, made with these options;
 *   undefined if there is none
 */
export async function findArchived(
  reference: ImageReference,
  stored: SourceImage,
  options: ImageArchiveOptions,
): Promise<FoundMetadata | undefined> {
  for (const archive of possibleArchives(reference, options)) {
    const metadata = await readValidMetadata(options.directory, archive)
    if (metadata && (await isArchived({ archive, metadata }, reference, stored, options)))
      return { archive, metadata }
  }
  return undefined
}

/**
 * @throws NAME_CLASH or WRONG_PLATFORM if another image would be replaced; NAME_CLASH or
 *   BAD_RECORD if that is not known, because the metadata is missing or damaged
 */
export async function checkReplaced(
  reference: ImageReference,
  image: StoredImage,
  options: ImageArchiveOptions,
): Promise<void> {
  const { directory, force, layers } = options
  if (force) return
  const archives = archiveNames(reference).map((name) => join(directory.dir, name))
  for (const archive of archives) {
    for (const replaced of [archive, incrementName(archive)]) {
      const isAside = replaced !== archive && layers.since.length === 0
      const existing = await (isAside ? examineBeside : examineArchive)(directory, replaced)
      if (existing?.refusal) throw existing.refusal
      const metadata = existing?.metadata
      // Another image may have a tag that ends like the name of an increment.
      if (isAside && !metadata?.requires) continue
      checkSameReference(replaced, metadata, reference)
      checkSamePlatform(replaced, metadata, image)
    }
  }
}

/**
 * Removes the older archives of an image: of two, the air-gapped host could use the older one.
 * An increment counts as newer than the full archive, which stays because the increment may
 * need its layers.
 *
 * @param archive - path of the archive that stays
 * @returns notes on what was removed, or could not be
 */
export async function removeReplaced(
  archive: string,
  reference: ImageReference,
  image: StoredImage,
  { directory, force }: ImageArchiveOptions,
): Promise<string[]> {
  const full = archiveNames(reference)
  const increments = full.map(incrementName)
  const isIncrement = increments.includes(basename(archive))
  const names = isIncrement ? increments : [...increments, ...full]
  const notes: string[] = []
  for (const name of names.filter((other) => other !== basename(archive))) {
    const existing = await examineBeside(directory, join(directory.dir, name))
    if (!existing) continue
    const { metadata, refusal } = existing
    const [old] = metadata?.images ?? []
    const isOwn = old?.reference === reference.text && old.platform === image.platform
    // Another image may have a tag that ends like the name of an increment.
    const isOfItsKind = increments.includes(name) === (metadata?.requires !== undefined)
    const isKnown = old?.reference !== undefined && isOfItsKind
    if (refusal && !force) notes.push(`${name} beside it stays: its metadata cannot be read`)
    if (!(isKnown ? isOwn || force : refusal && force)) continue
    await forgetArchive(directory, join(directory.dir, name))
    notes.push(`it takes the place of ${name}`)
  }
  return notes
}

// If an increment is requested, a full archive is accepted too.
function possibleArchives(reference: ImageReference, options: ImageArchiveOptions): string[] {
  const archive = join(options.directory.dir, archiveName(reference, options.coding.codec))
  return options.layers.since.length === 0 ? [archive] : [archive, incrementName(archive)]
}

async function isArchived(
  found: FoundMetadata,
  reference: ImageReference,
  { image, source }: SourceImage,
  options: ImageArchiveOptions,
): Promise<boolean> {
  const { metadata } = found
  const [saved] = metadata.images
  const isSame =
    saved?.reference === reference.text &&
    source.isSame(image, saved) === true &&
    saved.platform === image.platform &&
    isStoredSo(saved, options.layers)
  if (!isSame || !(await isUpToDate(options.directory, found, options))) return false
  const delivered = metadata.requires && (await findDelivered(reference, image, options))
  return metadata.requires?.every(({ digest }) => delivered?.has(digest)) ?? true
}

// If no layer in the tar is compressed, there was nothing to recompress.
function isStoredSo(
  { recompressed, layers }: SavedImage,
  { recompress }: LayerOptions<Catalog>,
): boolean {
  if (recompressed) return recompress
  return !recompress || !layers.some(isCompressedLayer)
}

// `a/b:1` and `a_b:1` have the same archive name, and may be saved in different runs.
function checkSameReference(
  archive: string,
  metadata: ArchiveMetadata | undefined,
  reference: ImageReference,
): void {
  const old = metadata?.images[0]?.reference
  if (old === undefined || old === reference.text) return
  throw new ToolError('NAME_CLASH', `write "${archive}": it holds "${old}"`, {
    hint: 'save them to different directories with --dir, or use --force to replace it',
  })
}

// An image for another platform has the same archive name, and would be replaced without a
// word.
function checkSamePlatform(
  archive: string,
  metadata: ArchiveMetadata | undefined,
  image: StoredImage,
): void {
  const old = metadata?.images[0]?.platform
  if (old === undefined || old === image.platform) return
  throw new ToolError(
    'WRONG_PLATFORM',
    `write "${archive}": it holds the image for ${old}, got ${image.platform}`,
    { hint: 'use one --dir for each platform, or --force to replace it' },
  )
}
