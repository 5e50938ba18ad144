// The tar of an engine's image as it goes into an archive: as the engine writes
// it, or with its compressed layers plain, for which it is saved twice.
import { Readable } from 'node:stream'

import type { SavedImage } from '../../delivery/metadata.ts'
import { endChildren, keepOutput, withChildren, type Task } from '../../io/child.ts'
import { withoutDoubles } from '../../image/descriptor.ts'
import type { ArchivedImage } from '../../image/docker-archive.ts'
import type { EngineImage } from '../../engine/inspect.ts'
import { startSave, type Engine } from '../../engine/engine.ts'
import { normalizeTar } from '../../image/normal-tar.ts'
import type { VerbContext } from '../../core/outcome.ts'
import type { PlainLayout } from '../../image/uncompress/layout.ts'
import { learnLayout, plainTar } from '../../image/uncompress/tar.ts'

/** A tar that can be had any number of times. */
export interface ImageTar {
  /** About its size. */
  readonly sizeBytes: number
  /** @returns the tar, and the child that it comes from. */
  readonly open: () => { readonly tar: Readable; readonly child: Task }
  /** @returns the image in it, with what it was before. */
  readonly complete: (image: ArchivedImage) => ArchivedImage & Pick<SavedImage, 'recompressed'>
}

/** A tar that the engine is at work on before anybody reads it. */
export interface BegunTar extends ImageTar {
  /** Ends that, where it was not opened. */
  readonly end: () => Promise<void>
}

/** What {@link findTar} needs. */
export interface TarOptions extends VerbContext {
  /** Whether compressed layers are to be plain. */
  readonly recompress: boolean
  /** What the image is called in messages. */
  readonly label: string
}

/**
 * @param name - to save the image by
 * @throws BAD_IMAGE, ENGINE_FAILED, INTERRUPTED, where it is saved once before
 */
export async function findTar(
  engine: Engine,
  name: string,
  image: EngineImage,
  options: TarOptions,
): Promise<ImageTar> {
  const start = (): Task => startSave(engine, name, image.platform)
  const { keepsBlobs } = engine.store
  const layout = options.recompress && keepsBlobs ? await learn(start(), image, options) : undefined
  if (layout) return plain(start, layout)
  return {
    sizeBytes: image.sizeBytes,
    open() {
      const child = start()
      return { tar: keepsBlobs ? normal(child.stdout) : child.stdout, child }
    },
    complete: (archived) => archived,
  }
}

// A store that has images as a registry does keeps from which ones it had them.
function normal(tar: AsyncIterable<Buffer>): Readable {
  return Readable.from(normalizeTar(tar), { objectMode: false })
}

/** Starts the engine at a tar: it lays out all of an image before the first byte comes. */
export function beginTar(tar: ImageTar): BegunTar {
  const { tar: stdout, child } = tar.open()
  let begun: ReturnType<ImageTar['open']> | undefined = { tar: keepOutput({ stdout }), child }
  // What fails before anybody wants it tells nothing: it is done anew.
  child.exited.catch(() => (begun = undefined))
  return {
    ...tar,
    open() {
      const opened = begun ?? tar.open()
      begun = undefined
      return opened
    },
    async end() {
      if (begun) await endChildren([child])
    },
  }
}

function plain(start: () => Task, layout: PlainLayout & { sizeBytes: number }): ImageTar {
  return {
    sizeBytes: layout.sizeBytes,
    open() {
      const child = start()
      return { tar: normal(plainTar(child.stdout, layout)), child }
    },
    complete(archived) {
      const { platform } = archived
      const before = layout.before
        .filter(({ configDigest }) => configDigest === archived.config.digest)
        .flatMap(({ indexes, manifest }) => [...indexes, { ...manifest, platform }])
      const manifests = withoutDoubles([...archived.manifests, ...before])
      return { ...archived, manifests, recompressed: true }
    },
  }
}

async function learn(
  child: Task,
  { sizeBytes }: EngineImage,
  { label, notify, signal }: TarOptions,
): Promise<(PlainLayout & { sizeBytes: number }) | undefined> {
  let tarBytes = 0
  async function* counted(): AsyncGenerator<Buffer> {
    for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
      tarBytes += chunk.length
      const share = Math.min(1, tarBytes / Math.max(1, sizeBytes))
      notify({ type: 'progress', label: `${label}, its layers`, tarBytes, archiveBytes: 0, share })
      yield chunk
    }
  }
  const layout = await withChildren([child], signal, learnLayout(counted()))
  return layout && { ...layout, sizeBytes: tarBytes + growth(layout) }
}

function growth({ changes }: PlainLayout): number {
  const sizes = Array.from(changes.values(), ({ was, layer }) => {
    return layer ? layer.sizeBytes - was.sizeBytes : 0
  })
  return sizes.reduce((total, size) => total + size, 0)
}
