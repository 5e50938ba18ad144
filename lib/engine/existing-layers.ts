// Keeps the list of layers that an engine has, so that a load does not send them again. The
// engine is asked once, and the layers of each loaded image are added. If the engine refuses an
// image or lacks a layer, somebody else has changed its layers: then it is asked again.
import { chainIds } from '../image/chain-id.ts'
import type { Digest } from '../image/digest.ts'
import type { ArchivedImage } from '../image/docker-archive.ts'
import type { Engine } from './engine.ts'
import { listChains } from './lists.ts'

/**
 * The layers of an engine. The list is empty if its store does not accept a tar without the
 * layers that it has.
 */
export interface ExistingLayers {
  /** @returns the chain IDs of the layers; throws as {@link listChains} */
  readonly list: () => Promise<ReadonlySet<string>>
  /** Adds the layers of images that were loaded. */
  readonly add: (images: readonly ArchivedImage[]) => void
  /** Forgets the list, so that the engine is asked again. */
  readonly forget: () => void
}

const NONE: ExistingLayers = { list: async () => new Set(), add() {}, forget() {} }

/** @returns the layers of an engine, which is asked when they are first needed */
export function watchLayers(engine: Engine): ExistingLayers {
  if (!engine.store.takesPartialTar) return NONE
  let asked: Promise<Set<string>> | undefined
  const forget = (): void => {
    asked = undefined
  }
  return {
    async list() {
      asked ??= listChains(engine)
      // A failed answer is not kept.
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

/** @returns the chain IDs of all layers of these images */
export function imageChains(images: readonly ArchivedImage[]): string[] {
  return images.flatMap(({ layers }) => chainIds(layers.map(({ diffId }) => diffId)))
}

/**
 * A tar has each layer once, though images may use it in several places. It is left out only if
 * the engine has it in all of them.
 *
 * @param images - all images of one archive
 * @param existing - the chain IDs of the layers that the engine has
 * @returns the layers that the engine lacks, by their digest in the archive
 */
export function missingLayers(
  images: readonly ArchivedImage[],
  existing: ReadonlySet<string>,
): ReadonlySet<Digest> {
  const missing = new Set<Digest>()
  for (const { layers } of images) {
    const chain = chainIds(layers.map((layer) => layer.diffId))
    for (const [index, { digest }] of layers.entries()) {
      if (!existing.has(String(chain[index]))) missing.add(digest)
    }
  }
  return missing
}
