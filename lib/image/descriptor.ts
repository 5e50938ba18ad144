// The descriptors of an image's blobs: what registries and OCI layouts name them by.
import type { Digest } from './digest.ts'

/** Names a blob. */
export interface Descriptor {
  /** Absent if nobody told: metadata of schema 1 does not. */
  readonly mediaType?: string
  readonly digest: Digest
  /** Absent as the media type. */
  readonly sizeBytes?: number
}

/** Names a manifest. */
export interface ManifestDescriptor extends Descriptor {
  /** `os/architecture[/variant]` */
  readonly platform?: string
}

/** The form of a media type, without parameters. */
export const MEDIA_TYPE = /^[\w.+-]{1,127}\/[\w.+-]{1,127}$/

/** An image by its blobs. */
export interface ImageDescriptors {
  /** The index that names it, if the tar has one. */
  readonly index?: Descriptor
  /** Its manifest, then whatever else it is known by: further manifests and indexes. */
  readonly manifests: readonly ManifestDescriptor[]
  readonly config: Descriptor
}

/**
 * @returns what a store that keeps images as registries do may call an image: the first
 *   is the ID that it has there once it is loaded
 */
export function manifestDigests({
  index,
  manifests,
}: Pick<ImageDescriptors, 'index' | 'manifests'>): Digest[] {
  return [...(index ? [index] : []), ...manifests].map(({ digest }) => digest)
}

/** @returns them in their order, each digest once. */
export function withoutDoubles<T extends Descriptor>(descriptors: readonly T[]): T[] {
  const first = new Map(descriptors.toReversed().map((each) => [each.digest, each]))
  return [...new Set(descriptors.map(({ digest }) => digest))].flatMap(
    (digest) => first.get(digest) ?? [],
  )
}
