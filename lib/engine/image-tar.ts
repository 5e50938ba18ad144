// Provides the tar of an image for its archive: as the engine writes it, or with its compressed
// layers uncompressed. For the second form the engine saves the image twice.
import { Readable } from 'node:stream'

import { withoutDoubles } from '../image/descriptor.ts'
import { normalizeTar } from '../image/normal-tar.ts'
import type { ImageTar, OpenOptions, StoredImage } from '../image/source.ts'
import type { PlainLayout } from '../image/uncompress/layout.ts'
import { learnLayout, plainTar } from '../image/uncompress/tar.ts'
import { withChildren } from '../io/child.ts'
import type { Task } from '../io/task.ts'
import { startSave, type Engine } from './engine.ts'

/** Options of {@link findTar}. */
export interface TarOptions extends OpenOptions {
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
  image: StoredImage,
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
  { sizeBytes }: StoredImage,
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
