// The two stores that engines keep images in differ in what an image's ID is, in what
// they tell of an image and in what they take. Whoever loads, saves or compares asks
// the store; only its two implementations know which of them it is.
import type { ImageDescriptors } from '../image/descriptor.ts'
import type { ArchivedImage } from '../image/docker-archive.ts'
import type { ComparedImage, StoredImage } from '../image/source.ts'

/** An image as far as an engine may name it. */
export interface NamedImage extends ImageDescriptors {
  readonly repoTags: readonly string[]
}

/** The store in which an engine keeps its images. */
export interface ImageStore {
  /** Whether it loads a tar without the layers that it has. */
  readonly takesPartialTar: boolean
  /** Whether it keeps layers as the registry has them, mostly compressed. */
  readonly keepsBlobs: boolean
  /** Whether it may have an image that is not unpacked, and so cannot run. */
  readonly unpacksApart: boolean
  /** @returns false if a first, cheap comparison shows that it is another image */
  readonly mayBeSame: (image: StoredImage, archived: ArchivedImage) => boolean
  /** @returns whether digests or layers show that it is another image */
  readonly isOther: (image: StoredImage, archived: ComparedImage) => boolean
  /** @returns whether the engine's image is the archived one, or undefined if that is not known */
  readonly isSame: (image: StoredImage, archived: ComparedImage) => boolean | undefined
  /**
   * @returns the IDs that the archived image may have in this store, or undefined if they are
   *   not known: then all images without a name have to be compared
   */
  readonly idsOf: (archived: ArchivedImage) => readonly string[] | undefined
  /**
   * @returns the IDs that the engine may print for loaded images, or undefined if it makes
   *   manifests of its own
   */
  readonly loadedIds: (images: readonly NamedImage[]) => ReadonlySet<string> | undefined
  /**
   * @returns what differs between the two images, with the value that was found and the one
   *   that was wanted
   */
  readonly difference: (
    image: StoredImage,
    archived: ArchivedImage,
  ) => { readonly what: string; readonly got: string; readonly want: string }
}

/** @returns whether an archived image has exactly these layers */
export function hasLayers(archived: ArchivedImage, diffIds: readonly string[]): boolean {
  return archived.layers.map((layer) => layer.diffId).join() === diffIds.join()
}
