// The layers that an engine has, and that it can be spared. It is asked for them
// once a run: what is loaded since is added, and what somebody removed since
// shows when the engine does not take an image without it.
import { chainIds } from './chain-id.ts'
import type { ArchivedImage } from './docker-archive.ts'
import { listChains, type Engine } from './engine.ts'

/** The layers of an engine whose store takes an image without those that it has; of another none. */
export interface PresentLayers {
  /** @returns their chain IDs */
  readonly list: () => Promise<ReadonlySet<string>>
  /** Tells of images that were loaded. */
  readonly add: (images: readonly ArchivedImage[]) => void
  /** Tells that some are gone: the engine is asked again. */
  readonly forget: () => void
}

/** @returns the layers of an engine, which is asked when they are wanted */
export function watchLayers(engine: Engine): PresentLayers {
  let known: Set<string> | undefined
  return {
    async list() {
      known ??= await listChains(engine)
      return known
    },
    add(images) {
      for (const chain of imageChains(images)) known?.add(chain)
    },
    forget() {
      known = undefined
    },
  }
}

/** @returns the chain IDs of all layers of some images. */
export function imageChains(images: readonly ArchivedImage[]): string[] {
  return images.flatMap(({ layers }) => chainIds(layers.map(({ diffId }) => diffId)))
}
