// Which of an engine's images is the one in an archive, whatever name it has there.
// Identity is shown by digests, or by a comparison of the whole configuration; what
// neither shows is not known.
import type { ArchivedImage } from '../image/docker-archive.ts'
import { inspectImage, type Engine } from './engine.ts'
import type { ComparedImage } from './image-store.ts'
import type { EngineImage } from './inspect.ts'
import { listUntagged } from './lists.ts'

/** Reads the images of an archive from its tar, with their settings. */
export type ReadImages = () => Promise<readonly ArchivedImage[]>

/**
 * @param readImages - asked only if nothing else tells
 * @returns whether the engine's image is the archived one; false if that is in doubt
 * @throws what `readImages` throws
 */
export async function isSameImage(
  { store }: Engine,
  image: EngineImage,
  archived: ComparedImage,
  readImages: ReadImages,
): Promise<boolean> {
  const known = store.isSame(image, archived)
  if (known !== undefined) return known
  const images = await readImages()
  const read = images.find(({ config }) => config.digest === archived.config.digest)
  return read !== undefined && store.isSame(image, { ...archived, ...read }) === true
}

/**
 * Looks by what the image is, whatever name it has there, or none.
 *
 * @param readImages - as for {@link isSameImage}
 * @returns the engine's image, or undefined if it has none for certain
 */
export async function findExisting(
  engine: Engine,
  archived: ComparedImage,
  readImages: ReadImages,
): Promise<EngineImage | undefined> {
  for (const id of engine.store.idsOf(archived) ?? (await listUntagged(engine))) {
    const image = await inspectImage(engine, id, archived.platform)
    if (image && (await isSameImage(engine, image, archived, readImages))) return image
  }
  return undefined
}
