// Looks for an archived image in the engine by what it is, whatever name it has
// there, or none.
import type { ArchivedImage } from './image/docker-archive.ts'
import type { EngineImage } from './engine-image.ts'
import { listUntagged } from './engine-lists.ts'
import { inspectImage, type Engine } from './engine.ts'
import { compareImage, type ComparedImage } from './same-image.ts'

/** Reads the images of an archive from its tar, with their settings. */
export type ReadImages = () => Promise<readonly ArchivedImage[]>

/**
 * @param readImages - asked only where nothing else tells
 * @returns whether the engine's image is the archived one; false where that is in doubt
 * @throws what `readImages` throws
 */
export async function isSameImage(
  engine: Engine,
  own: EngineImage,
  archived: ComparedImage,
  readImages: ReadImages,
): Promise<boolean> {
  const known = compareImage(engine, own, archived)
  if (known !== undefined) return known
  const images = await readImages()
  const read = images.find(({ configDigest }) => configDigest === archived.configDigest)
  return read !== undefined && compareImage(engine, own, { ...archived, ...read }) === true
}

/**
 * @param readImages - as for {@link isSameImage}
 * @returns the engine's own of an archived image, or undefined where it has none for certain
 */
export async function findPresent(
  engine: Engine,
  archived: ComparedImage,
  readImages: ReadImages,
): Promise<EngineImage | undefined> {
  for (const id of await possibleIds(engine, archived)) {
    const own = await inspectImage(engine, id, archived.platform)
    if (own && (await isSameImage(engine, own, archived, readImages))) return own
  }
  return undefined
}

// A containerd store gives an image that comes without a manifest one of its
// own making, whose digest nobody knows beforehand.
async function possibleIds(engine: Engine, archived: ArchivedImage): Promise<readonly string[]> {
  if (engine.idIsConfig) return [archived.configDigest]
  return archived.manifestDigests.length > 0 ? archived.manifestDigests : listUntagged(engine)
}
