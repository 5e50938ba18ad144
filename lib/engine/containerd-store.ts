// containerd's store: blobs as the registry has them, and an image's ID is the digest of
// its manifest or index. What comes without a manifest gets one that the engine makes,
// so the same image may have another ID here.
import { manifestDigests } from '../image/descriptor.ts'
import type { ArchivedImage } from '../image/docker-archive.ts'
import type { ComparedImage, StoredImage } from '../image/source.ts'
import { hasLayers, type ImageStore, type NamedImage } from './image-store.ts'

/**
 * @param isDocker - whether the engine is docker, which shows the whole configuration of an
 *   image, and may have images that it has not unpacked; nerdctl shows the digest of the config
 */
export function containerdStore(isDocker: boolean): ImageStore {
  return {
    takesPartialTar: false,
    keepsBlobs: true,
    unpacksApart: isDocker,
    mayBeSame: (image, archived) => hasLayers(archived, image.diffIds),
    isOther,
    isSame(image, archived) {
      if (isOther(image, archived)) return false
      if (hasDigest(image, archived)) return true
      return isDocker ? hasConfig(image, archived) : undefined
    },
    idsOf: (archived) => (archived.manifests.length > 0 ? manifestDigests(archived) : undefined),
    loadedIds,
    difference(image, archived) {
      const diffIds = archived.layers.map(({ diffId }) => diffId)
      return hasLayers(archived, image.diffIds)
        ? {
            what: 'manifest',
            got: `${image.manifestDigest}`,
            want: manifestDigests(archived).join(' or '),
          }
        : { what: 'layers', got: image.diffIds.join(), want: diffIds.join() }
    },
  }
}

function isOther(image: StoredImage, archived: ComparedImage): boolean {
  return !hasLayers(archived, image.diffIds) || hasOtherDigest(image, archived)
}

function hasDigest(image: StoredImage, archived: ComparedImage): boolean {
  const { config, imageId = config.digest } = archived
  const digests = new Set<string>([...manifestDigests(archived), config.digest, imageId])
  return digests.has(image.manifestDigest ?? image.id)
}

// If both sides have a manifest, its digest decides. That is not so for a recompressed image:
// its manifest in the archive is not the one that the engine had.
function hasOtherDigest(image: StoredImage, archived: ComparedImage): boolean {
  const isDecidable = image.manifestDigest !== undefined && archived.manifests.length > 0
  return isDecidable && !archived.recompressed && !hasDigest(image, archived)
}

// Compares two images with the same layers if no manifest can decide, for example because the
// archive is from an older engine. Equal layers are not enough, because builders give many
// images the same layers and time: platform, build time and settings must be equal too.
function hasConfig(image: StoredImage, archived: ArchivedImage): boolean | undefined {
  if (!isSamePlatform(image.platform, archived.platform)) return false
  const [ownMs, archivedMs] = [image.created, archived.created].map((time) =>
    Date.parse(time ?? ''),
  )
  if (ownMs !== archivedMs && !Number.isNaN(ownMs) && !Number.isNaN(archivedMs)) return false
  if (image.settings === undefined || archived.settings === undefined) return undefined
  return image.settings === archived.settings
}

// Some engines do not show the variant of a platform, so a missing variant fits any.
function isSamePlatform(image: string, archived: string): boolean {
  return `${image}/`.startsWith(`${archived}/`) || `${archived}/`.startsWith(`${image}/`)
}

function loadedIds(images: readonly NamedImage[]): ReadonlySet<string> | undefined {
  if (images.some(({ manifests }) => manifests.length === 0)) return undefined
  return new Set(images.flatMap((image) => [image.config.digest, ...manifestDigests(image)]))
}
