// Where images go: an engine; a registry or an OCI layout can be one too. The verbs know a
// sink by this interface only.
import type { Duplex } from 'node:stream'

import type { Task } from '../io/task.ts'
import type { Digest } from './digest.ts'
import type { ArchivedImage } from './docker-archive.ts'
import type { ComparedImage, ReadImages, StoredImage } from './source.ts'

/** An image of an archive, and the sink's images that have its tags. */
export interface ExistingImage {
  readonly image: ComparedImage
  readonly own: ReadonlyMap<string, StoredImage>
}

/** A daemon that was asked to take a tar through its socket. */
export interface SocketTask extends Task {
  /** The socket, once the tar may come: another child's stdout. */
  readonly socket: Promise<Duplex>
}

/** Takes a tar by the stdin of a task. */
export interface StdinSink {
  readonly start: () => Task
}

/** Takes a tar by a socket, which a decoder can write to. */
export interface SocketSink {
  readonly connect: () => SocketTask
}

/** How a tar gets there. */
export type TarSink = StdinSink | SocketSink

/** Takes one tar. */
export interface Acceptance<T extends TarSink = TarSink> {
  readonly tar: T
  /**
   * Compares what the sink says it has taken with what it should take.
   *
   * @throws MISMATCH if it says anything else
   */
  readonly check: (images: readonly ArchivedImage[]) => void
}

/** Options of {@link ImageSink.tagExisting}. */
export interface TagOptions {
  readonly dryRun: boolean
  readonly readImages: ReadImages
  /** Checks that the archive holds the images of its metadata. */
  readonly verify: () => Promise<unknown>
  /** Is called before tags are set; they are set after it resolves. */
  readonly wait?: () => Promise<void>
}

/** Where images go. Its methods throw its own errors, and INTERRUPTED. */
export interface ImageSink {
  /** `os/architecture` of the images that run there; undefined if it takes any. */
  readonly platform: string | undefined
  /**
   * Whether it takes a tar without the layers that it has; then the next archives are begun
   * early. If not, {@link missing} gives all layers.
   */
  readonly takesPartialTar: boolean
  /** @returns the images, each with those that now have its tags */
  lookUp(images: readonly ComparedImage[]): Promise<ExistingImage[]>
  /**
   * @param images - all images of one archive
   * @param before - images that it will have by the time these come
   * @returns the layers that have to be sent, by their digest in the archive. It may remember
   *   what it has, see {@link forget}.
   */
  missing(
    images: readonly ArchivedImage[],
    before?: readonly ArchivedImage[],
  ): Promise<ReadonlySet<Digest>>
  /** Forgets what it has: somebody else has changed that. */
  forget(): void
  /**
   * Sets the missing tags, if it already has all images of an archive. It calls `verify` before
   * it answers, and `wait` before it changes anything.
   *
   * @returns notes on what the tags meant before, or in a dry run on the tags that would be set;
   *   undefined if an image is missing or cannot run: then the archive has to be loaded
   */
  tagExisting(known: readonly ExistingImage[], options: TagOptions): Promise<string[] | undefined>
  /**
   * @param label - the archive, for errors
   * @returns what takes a tar, which may have any size. Its stdin ends only if the tar is whole
   *   and verified; otherwise it is killed before. If it fails with ENGINE_FAILED or NO_IMAGE on a
   *   tar without some layers, the whole tar follows.
   */
  accept(label: string): Acceptance<StdinSink>
  /**
   * @param tarBytes - the size of the tar; exactly this many bytes must follow
   * @returns what takes a tar from a decoder itself, so that it passes through no other program;
   *   undefined if there is no such way
   */
  acceptDirectly(label: string, tarBytes: number): Promise<Acceptance<SocketSink> | undefined>
  /**
   * Checks after a load that it has these images.
   *
   * @param known - what the tags meant before the load
   * @returns notes: on a tag that meant another image before, or an image without a tag
   * @throws MISMATCH if it has another image, or none; its own error if it could not unpack it
   */
  confirm(
    images: readonly ComparedImage[],
    known: readonly ExistingImage[],
    readImages: ReadImages,
  ): Promise<string[]>
}
