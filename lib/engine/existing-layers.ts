// The layers that an engine has, and that it can be spared. It is asked for them
// once a run, and what is loaded since is added. What somebody else removed or
// added shows where an image is not taken, or lacks a layer: then it is asked again.
import { chainIds } from '../image/chain-id.ts'
import type { ArchivedImage } from '../image/docker-archive.ts'
import { listChains } from './lists.ts'
import type { Engine } from './engine.ts'

/** The layers of an engine whose store takes an image without those that it has; of another none. */
export interface ExistingLayers {
  /** @returns their chain IDs. @throws as {@link listChains} does */
  readonly list: () => Promise<ReadonlySet<string>>
  /** Tells of images that were loaded. */
  readonly add: (images: readonly ArchivedImage[]) => void
  /** Tells that they are others by now: the engine is asked again. */
  readonly forget: () => void
}

const NONE: ExistingLayers = { list: async () => new Set(), add() {}, forget() {} }

/** @returns the layers of an engine, which is asked when they are wanted */
export function watchLayers(engine: Engine): ExistingLayers {
  if (!engine.store.takesPartialTar) return NONE
  let asked: Promise<Set<string>> | undefined
  const forget = (): void => {
    asked = undefined
  }
  return {
    async list() {
      asked ??= listChains(engine)
      // No answer is none to keep.
      asked.catch(forget)
      return asked
    },
    add(images) {
      const addTo = (known: Set<string>): void => {
        for (const chain of imageChains(images)) known.add(chain)
      }
      asked?.then(addTo, () => {})
    },
    forget,
  }
}

/** @returns the chain IDs of all layers of some images. */
export function imageChains(images: readonly ArchivedImage[]): string[] {
  return images.flatMap(({ layers }) => chainIds(layers.map(({ diffId }) => diffId)))
}
