// Where images come from: an engine; a registry can be one too. The verbs know a source by
// this interface only.
import type { Readable } from 'node:stream'

import type { VerbContext } from '../core/outcome.ts'
import type { Task } from '../io/task.ts'
import type { Descriptor } from './descriptor.ts'
import type { Digest } from './digest.ts'
import type { ArchivedImage } from './docker-archive.ts'
import type { ImageReference } from './reference.ts'

/** An image as the source or sink that has it shows it. */
export interface StoredImage {
  /** `sha256:…`, by which it is listed there; without such a list the digest of its config. */
  readonly id: string
  /**
   * The digest of the manifest of this image, if it is shown. The ID may be the digest of an
   * index with several platforms.
   */
  readonly manifestDigest?: string
  /** The index of several platforms that it was found by, if that is shown. */
  readonly index?: Descriptor
  readonly repoTags: readonly string[]
  /** `os/architecture[/variant]` */
  readonly platform: string
  /** About the size of its tar, in bytes. */
  readonly sizeBytes: number
  readonly diffIds: readonly string[]
  /** The time in the config; absent if it is not shown. */
  readonly created?: string
  /**
   * The settings that a container of it has, see {@link formatSettings}; absent if they are not
   * shown.
   */
  readonly settings?: string
}

/** An image in an archive, with the note whether its layers were stored uncompressed. */
export interface ComparedImage extends ArchivedImage {
  readonly recompressed?: true
  /** A digest that the engine knew it by, in metadata of schema 1. */
  readonly imageId?: Digest
}

/** Reads the images of an archive, with their settings, from its tar. */
export type ReadImages = () => Promise<readonly ArchivedImage[]>

/** The tar of an image, which can be opened any number of times. */
export interface ImageTar {
  /** About its size, in bytes. */
  readonly sizeBytes: number
  /**
   * @returns the tar, and the task that writes it, if any. It may be opened before its turn, and
   *   ended without being read.
   */
  readonly open: () => { readonly tar: Readable; readonly child?: Task | undefined }
  /** @returns the image in the tar, with the manifest digests that it had in the source */
  readonly complete: (image: ArchivedImage) => ComparedImage
}

/** Options of {@link ImageSource.fetch}. */
export interface FetchOptions extends VerbContext {
  /** `os/architecture[/variant]`; by default the source's own. */
  readonly platform: string | undefined
  /** Whether the source draws its progress itself; otherwise its lines become notices. */
  readonly drawProgress: boolean
}

/** Options of {@link ImageSource.open}. */
export interface OpenOptions extends VerbContext {
  /** Whether to store compressed layers uncompressed. */
  readonly recompress: boolean
}

/** Which bytes {@link ImageSource.read} reads. */
export interface ImageRead {
  /** The name to read the image by. */
  readonly name: string
  /** The platform of the image. */
  readonly platform: string
  readonly signal: AbortSignal
}

/** Where images come from. Its methods throw its own errors, and INTERRUPTED. */
export interface ImageSource {
  /**
   * @param names - names as they were given (`pullName`, `taggedName`), or IDs. `familiarName` makes
   *   names comparable.
   * @param platform - the wanted one, if a name stands for several; by default the source's own
   * @returns the images that it has by these names. One has another platform if there is only
   *   that one.
   */
  resolve(names: readonly string[], platform?: string): Promise<ReadonlyMap<string, StoredImage>>
  /**
   * @param known - what {@link resolve} has just given for it, if anything
   * @returns the image that it has under this reference
   * @throws NO_IMAGE; WRONG_PLATFORM if it has another platform only
   */
  find(
    reference: ImageReference,
    platform: string | undefined,
    known?: StoredImage,
  ): Promise<StoredImage>
  /**
   * Gets the image from where the source has it from.
   *
   * @throws NO_IMAGE, NOT_LOGGED_IN, WRONG_PLATFORM, REGISTRY_UNREACHABLE
   */
  fetch(reference: ImageReference, options: FetchOptions): Promise<StoredImage>
  /** @returns the names of all images that it has */
  names(): Promise<readonly string[]>
  /**
   * Looks for an image by its content. It may have any name, or none.
   *
   * @param readImages - is called only if descriptors do not decide
   * @returns undefined if none is certainly the same
   */
  findSame(archived: ComparedImage, readImages: ReadImages): Promise<StoredImage | undefined>
  /** @returns false if a first, cheap comparison shows that it is another image */
  mayBeSame(image: StoredImage, archived: ArchivedImage): boolean
  /**
   * @returns true if its image is the archived one: then the archive is up to date; false if it
   *   is another: then a save fails; undefined if that is not known
   */
  isSame(image: StoredImage, archived: ComparedImage): boolean | undefined
  /** @returns the tar of an image for its archive */
  open(reference: ImageReference, image: StoredImage, options: OpenOptions): Promise<ImageTar>
  /**
   * Reads the tar of an image as the source writes it.
   *
   * @param take - is called with each piece, which it uses at once; an error that it throws
   *   ends the read
   */
  read(image: ImageRead, take: (bytes: Buffer) => void): Promise<void>
}
