// Provides the tar of an image for its archive: as the engine writes it, or with its compressed
// layers uncompressed. For the second form the engine saves the image twice.
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

/** A tar that can be opened any number of times. */
export interface ImageTar {
  /** About its size, in bytes. */
  readonly sizeBytes: number
  /** @returns the tar, and the child that writes it */
  readonly open: () => { readonly tar: Readable; readonly child: Task }
  /** @returns the image in the tar, with the manifest digests that it had in the engine */
  readonly complete: (image: ArchivedImage) => ArchivedImage & Pick<SavedImage, 'recompressed'>
}

/** A tar that the engine is already preparing. */
export interface BegunTar extends ImageTar {
  /** Ends the engine's work, if the tar was not opened. */
  readonly end: () => Promise<void>
}

/** Options of {@link findTar}. */
export interface TarOptions extends VerbContext {
  /** Whether to store compressed layers uncompressed. */
  readonly recompress: boolean
  /** The name of the image in messages. */
  readonly label: string
}

/**
 * @param name - the name to save the image by
 * @throws BAD_IMAGE, ENGINE_FAILED or INTERRUPTED from the first of two saves, if layers are
 *   stored uncompressed
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

// A containerd store notes in the tar from which repositories it has an image; this removes the
// note.
function normal(tar: AsyncIterable<Buffer>): Readable {
  return Readable.from(normalizeTar(tar), { objectMode: false })
}

/** Starts the save early: the engine prepares the whole image before it writes the first byte. */
export function beginTar(tar: ImageTar): BegunTar {
  const { tar: stdout, child } = tar.open()
  let begun: ReturnType<ImageTar['open']> | undefined = { tar: keepOutput({ stdout }), child }
  // A failure before the tar is opened is ignored: opening it starts a new save.
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
