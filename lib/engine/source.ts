// A container engine as the source of images.
import { pipeline } from 'node:stream/promises'

import type { ArchivedImage } from '../image/docker-archive.ts'
import type { ImageReference } from '../image/reference.ts'
import type {
  ComparedImage,
  FetchOptions,
  ImageRead,
  ImageSource,
  ImageTar,
  OpenOptions,
  ReadImages,
  StoredImage,
} from '../image/source.ts'
import { withChildren } from '../io/child.ts'
import { findSocket } from './docker-api/daemon.ts'
import { requestSave } from './docker-api/save.ts'
import { findEngine, platformToSave, startSave, type Engine, type EngineName } from './engine.ts'
import { findTar } from './image-tar.ts'
import { inspectImages } from './inspect-images.ts'
import { listTags } from './lists.ts'
import { findExisting } from './match.ts'
import { findImage, nameForSave, pullImage } from './pull.ts'

/** An engine that images come from. */
export class EngineSource implements ImageSource {
  readonly #engine: Engine

  constructor(engine: Engine) {
    this.#engine = engine
  }

  resolve(names: readonly string[], platform?: string): Promise<ReadonlyMap<string, StoredImage>> {
    return inspectImages(this.#engine, names, platform)
  }

  find(
    reference: ImageReference,
    platform: string | undefined,
    known?: StoredImage,
  ): Promise<StoredImage> {
    return findImage(this.#engine, reference, platform, known)
  }

  fetch(reference: ImageReference, options: FetchOptions): Promise<StoredImage> {
    return pullImage(this.#engine, reference, options)
  }

  names(): Promise<readonly string[]> {
    return listTags(this.#engine)
  }

  findSame(archived: ComparedImage, readImages: ReadImages): Promise<StoredImage | undefined> {
    return findExisting(this.#engine, archived, readImages)
  }

  mayBeSame(image: StoredImage, archived: ArchivedImage): boolean {
    return this.#engine.store.mayBeSame(image, archived)
  }

  isSame(image: StoredImage, archived: ComparedImage): boolean | undefined {
    return this.#engine.store.isSame(image, archived)
  }

  async open(
    reference: ImageReference,
    image: StoredImage,
    options: OpenOptions,
  ): Promise<ImageTar> {
    const name = await nameForSave(this.#engine, reference, options)
    return findTar(this.#engine, name, image, { ...options, label: reference.text })
  }

  /** From the daemon's socket if it is on this machine, which is faster; else by its client. */
  async read({ name, platform, signal }: ImageRead, take: (bytes: Buffer) => void): Promise<void> {
    const engine = this.#engine
    const socketPath = await findSocket({ ...engine, signal })
    if (socketPath !== undefined) {
      const image = { name, platform: platformToSave(engine, platform) }
      const saving = requestSave(socketPath, image, take)
      return withChildren([saving], signal, saving.exited)
    }
    const child = startSave(engine, name, platform)
    const reading = pipeline(child.stdout, async (chunks: AsyncIterable<Buffer>) => {
      for await (const chunk of chunks) take(chunk)
    })
    return withChildren([child], signal, reading)
  }
}

/** @returns an engine as a source. Throws as {@link findEngine}. */
export async function openEngineSource(
  name: EngineName | undefined,
  signal: AbortSignal,
): Promise<ImageSource> {
  return new EngineSource(await findEngine(name, signal))
}
