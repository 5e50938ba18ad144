// The two stores that engines keep images in differ in what an image's ID is, in what
// they tell of an image and in what they take. Whoever loads, saves or compares asks
// the store; only its two implementations know which of them it is.
import type { ImageDescriptors } from '../image/descriptor.ts'
import type { Digest } from '../image/digest.ts'
import type { ArchivedImage } from '../image/docker-archive.ts'
import type { EngineImage } from './inspect.ts'

/** An image in an archive, and whether its layers were compressed before. */
export interface ComparedImage extends ArchivedImage {
  readonly recompressed?: true
  /** A digest that the engine knew it by, in metadata of schema 1. */
  readonly imageId?: Digest
}

/** An image as far as an engine may name it. */
export interface NamedImage extends ImageDescriptors {
  readonly repoTags: readonly string[]
}

/** Where an engine keeps its images. */
export interface ImageStore {
  /** Whether it takes a tar without the layers that it has. */
  readonly takesPartialTar: boolean
  /** Whether it keeps layers as the registry has them, mostly compressed. */
  readonly keepsBlobs: boolean
  /** Whether it may have an image that it has not laid out, so that it cannot run. */
  readonly laysOutApart: boolean
  /** @returns false if what the engine tells at once shows that it is another image */
  readonly mayBeSame: (image: EngineImage, archived: ArchivedImage) => boolean
  /** @returns whether digests or layers show that it is another image */
  readonly isOther: (image: EngineImage, archived: ComparedImage) => boolean
  /** @returns whether the engine's image is the archived one; undefined if it is not known */
  readonly isSame: (image: EngineImage, archived: ComparedImage) => boolean | undefined
  /** @returns the IDs that an archived image may have here; undefined if only a look at all images tells */
  readonly idsOf: (archived: ArchivedImage) => readonly string[] | undefined
  /** @returns the IDs that it may say it loaded; undefined if it makes manifests of its own */
  readonly loadedIds: (images: readonly NamedImage[]) => ReadonlySet<string> | undefined
  /** @returns what of another image differs, what it is and what it should be */
  readonly difference: (
    image: EngineImage,
    archived: ArchivedImage,
  ) => { readonly what: string; readonly got: string; readonly want: string }
}

/** @returns whether an archived image consists of just these layers. */
export function hasLayers(archived: ArchivedImage, diffIds: readonly string[]): boolean {
  return archived.layers.map((layer) => layer.diffId).join() === diffIds.join()
}
