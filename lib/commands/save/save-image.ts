// Saves one image of the source into its archive, unless the archive is up to date.
import { basename, join } from 'node:path'

import { writeArchive, type WriteListener } from '../../archive/writer.ts'
import type { Compressors } from '../../codec/programs.ts'
import { ToolError } from '../../core/errors.ts'
import { CHANGED_WHILE_SAVED } from '../../core/hints.ts'
import type { Result } from '../../core/outcome.ts'
import { listChecksums } from '../../delivery/commit.ts'
import { checkSpace } from '../../delivery/free-space.ts'
import type { ArchiveMetadata, SavedImage } from '../../delivery/metadata.ts'
import { archiveName } from '../../delivery/name.ts'
import { manifestDigests, type ManifestDescriptor } from '../../image/descriptor.ts'
import { readImages, type ArchivedImage } from '../../image/docker-archive.ts'
import type { ImageReference } from '../../image/reference.ts'
import type { ImageSource, ImageTar, StoredImage } from '../../image/source.ts'
import type { TarDigest } from '../../tar/digest.ts'
import { archiveSizes, savings, uncomparedNote } from '../sizes.ts'
import { bytesToSave, findCachedLayers } from './cached-layers.ts'
import {
  checkReplaced,
  findArchived,
  removeReplaced,
  type ImageArchiveOptions,
} from './existing-archive.ts'

/** What {@link saveImage} works with. */
export interface ArchiveTools extends Compressors {
  readonly source: ImageSource
  /** The tar of the image, if the source is already preparing it. */
  readonly tar?: ImageTar | undefined
  /** Is called when the source has no more work for this image. */
  readonly onRead?: () => void
}

/**
 * @param image - the source's image of that reference
 * @returns `saved` or `up to date`
 * @throws NO_SPACE, WRONG_PLATFORM, BAD_IMAGE, ENGINE_FAILED, COMPRESSOR_FAILED, NOT_WRITABLE,
 *   INTERRUPTED
 */
export async function saveImage(
  reference: ImageReference,
  image: StoredImage,
  tools: ArchiveTools,
  options: ImageArchiveOptions,
): Promise<Result> {
  const archived = await findArchived(reference, { image, source: tools.source }, options)
  if (archived) {
    const { archive, metadata } = archived
    await listChecksums(options.directory, archive, metadata)
    const notes = await removeReplaced(archive, reference, image, options)
    return { result: 'up to date', archive: basename(archive), ...archiveSizes(metadata), notes }
  }
  await checkReplaced(reference, image, options)
  await checkSpace(
    options.directory.dir,
    await bytesToSave(reference, image, options),
    options.notify,
  )
  options.notify({
    type: 'step',
    text: `Saving ${archiveName(reference, options.coding.codec)}...`,
  })
  return write(reference, image, tools, options)
}

// In a graph-driver store and in podman, the image has the same ID as before.
function recompressed({ images: [image] }: ArchiveMetadata): string[] {
  if (!image?.recompressed) return []
  const [digest] = manifestDigests(image)
  return [`its layers are stored uncompressed: a containerd store gives it the ID ${digest}`]
}

// The ID depends on the store into which the image is loaded.
function untagged({ images: [image] }: ArchiveMetadata): string {
  const ids = image ? [image.config.digest, ...manifestDigests(image).slice(0, 1)] : []
  return `it has no tag: it loads by its ID only, ${ids.join(' or, in a containerd store, ')}`
}

async function write(
  reference: ImageReference,
  image: StoredImage,
  tools: ArchiveTools,
  options: ImageArchiveOptions,
): Promise<Result> {
  const { source, compressor, decompressors, verified } = tools
  const { directory, coding, layers, threads, signal } = options
  const archive = join(directory.dir, archiveName(reference, coding.codec))
  const tar = tools.tar ?? (await source.open(reference, image, { ...options, ...layers }))
  const { metadata, reused, uncompared } = await writeArchive({
    target: { directory, archive },
    input: {
      open: tar.open,
      normalize: true,
      verifyLayers: layers.verifyLayers,
      describe: (digest) => [describe(digest, tar, { source, reference, own: image })],
    },
    layers: await findCachedLayers(reference, image, options),
    compression: { compressor, decompressors, verified, coding, threads, signal },
    listener: listen(reference, tar, tools, options),
  })
  const written = join(directory.dir, metadata.archive.file)
  const notes = [
    ...recompressed(metadata),
    ...uncomparedNote(uncompared),
    ...(reference.tag === undefined ? [untagged(metadata)] : []),
    ...(await removeReplaced(written, reference, image, options)),
  ]
  const sizes = { ...archiveSizes(metadata), ...savings(metadata, reused) }
  return { result: 'saved', archive: metadata.archive.file, ...sizes, notes }
}

function listen(
  { text: label }: ImageReference,
  { sizeBytes }: ImageTar,
  { onRead }: ArchiveTools,
  { notify }: ImageArchiveOptions,
): WriteListener {
  return {
    ...(onRead && { onRead }),
    onRetry: (reason) => notify({ type: 'warning', text: `${reason}; it is saved again` }),
    onProgress(progress) {
      const share = sizeBytes > 0 ? Math.min(1, progress.tarBytes / sizeBytes) : undefined
      const known = share === undefined ? {} : { share }
      notify({ type: 'progress', label, ...progress, ...known })
    },
  }
}

// An engine saves one platform of several without the index that it has it by.
function withIndex(image: ArchivedImage, { index }: StoredImage): readonly ManifestDescriptor[] {
  const known = manifestDigests(image)
  // A tar without a manifest gets one from the engine that loads it, and no index.
  const isMissing = index && known.length > 0 && !known.includes(index.digest)
  return isMissing ? [...image.manifests, index] : image.manifests
}

// What was saved must be what was looked at before: somebody may have pulled
// another image under this name meanwhile.
function describe(
  digest: TarDigest,
  tar: ImageTar,
  { source, reference, own }: { source: ImageSource; reference: ImageReference; own: StoredImage },
): SavedImage {
  const [image, another] = readImages(digest).map(tar.complete)
  if (!image || another || source.isSame(own, image) === false) {
    const got = image?.config.digest ?? 'no image'
    throw new ToolError('BAD_IMAGE', `save "${reference.text}": got ${got}, want ${own.id}`, {
      hint: CHANGED_WHILE_SAVED,
    })
  }
  return { ...image, manifests: withIndex(image, own), reference: reference.text }
}
