// A container engine as the sink of images.
import type { Digest } from '../image/digest.ts'
import type { ArchivedImage } from '../image/docker-archive.ts'
import type {
  Acceptance,
  ExistingImage,
  ImageSink,
  SocketSink,
  StdinSink,
  TagOptions,
  TarSink,
} from '../image/sink.ts'
import type { ComparedImage, ReadImages } from '../image/source.ts'
import { findSocket } from './docker-api/daemon.ts'
import { requestLoad } from './docker-api/load.ts'
import { findEngine, startLoad, type Engine, type EngineName } from './engine.ts'
import { imageChains, missingLayers, watchLayers, type ExistingLayers } from './existing-layers.ts'
import { checkSaid, type Loading } from './said.ts'
import { checkLoaded, lookUpImages, tagLoaded } from './tags.ts'

// The platform for podman and nerdctl, which do not show theirs and run on this host.
const LOCAL_PLATFORM = `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`

/** An engine that images go to. */
export class EngineSink implements ImageSink {
  readonly platform: string
  readonly takesPartialTar: boolean
  readonly #engine: Engine
  readonly #existing: ExistingLayers

  constructor(engine: Engine) {
    this.platform = engine.platform ?? LOCAL_PLATFORM
    this.takesPartialTar = engine.store.takesPartialTar
    this.#engine = engine
    this.#existing = watchLayers(engine)
  }

  lookUp(images: readonly ComparedImage[]): Promise<ExistingImage[]> {
    return lookUpImages(this.#engine, images)
  }

  async missing(
    images: readonly ArchivedImage[],
    before: readonly ArchivedImage[] = [],
  ): Promise<ReadonlySet<Digest>> {
    const existing = (await this.#existing.list()).union(new Set(imageChains(before)))
    return missingLayers(images, existing)
  }

  forget(): void {
    this.#existing.forget()
  }

  tagExisting(known: readonly ExistingImage[], options: TagOptions): Promise<string[] | undefined> {
    return tagLoaded(this.#engine, known, { ...options, existing: this.#existing })
  }

  accept(label: string): Acceptance<StdinSink> {
    return this.#watch(
      label,
      () => startLoad(this.#engine, label),
      (start) => ({ start }),
    )
  }

  async acceptDirectly(
    label: string,
    tarBytes: number,
  ): Promise<Acceptance<SocketSink> | undefined> {
    const path = await findSocket(this.#engine)
    if (path === undefined) return undefined
    return this.#watch(
      label,
      () => requestLoad(path, label, tarBytes),
      (connect) => ({ connect }),
    )
  }

  async confirm(
    images: readonly ComparedImage[],
    known: readonly ExistingImage[],
    readImages: ReadImages,
  ): Promise<string[]> {
    const notes: string[] = []
    for (const image of images) {
      notes.push(...(await checkLoaded(this.#engine, image, known, readImages)))
    }
    this.#existing.add(images)
    return notes
  }

  /** Keeps what is started, to ask it in the end what it says that it has loaded. */
  #watch<L extends Loading, T extends TarSink>(
    label: string,
    begin: () => L,
    toSink: (start: () => L) => T,
  ): Acceptance<T> {
    let loading: L | undefined
    return {
      tar: toSink(() => (loading = begin())),
      check: (images) => {
        if (loading) checkSaid(loading.said(), images, this.#engine, label)
      },
    }
  }
}

/** @returns an engine as a sink. Throws as {@link findEngine}. */
export async function openEngineSink(
  name: EngineName | undefined,
  signal: AbortSignal,
): Promise<ImageSink> {
  return new EngineSink(await findEngine(name, signal))
}
