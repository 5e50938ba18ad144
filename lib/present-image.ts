// Looks for an archived image in the engine by what it is, whatever name it has
// there, or none.
import type { ArchivedImage } from './docker-archive.ts'
import type { EngineImage } from './engine-image.ts'
import { listUntagged } from './engine-lists.ts'
import { inspectImage, type Engine } from './engine.ts'
import { isSameImage } from './same-image.ts'

/**
 * @param isIt - whether it is the one; without it, it has to be for certain
 * @returns the engine's own of an archived image, or undefined where it has none
 */
export async function findPresent(
  engine: Engine,
  archived: ArchivedImage,
  isIt: typeof isSameImage = isSameImage,
): Promise<EngineImage | undefined> {
  for (const id of await possibleIds(engine, archived)) {
    const own = await inspectImage(engine, id, archived.platform)
    if (own && isIt(engine, own, archived)) return own
  }
  return undefined
}

// A containerd store gives an image that comes without a manifest one of its
// own making, whose digest nobody knows beforehand.
async function possibleIds(engine: Engine, archived: ArchivedImage): Promise<readonly string[]> {
  if (engine.idIsConfig) return [archived.configDigest]
  return archived.manifestDigests.length > 0 ? archived.manifestDigests : listUntagged(engine)
}
