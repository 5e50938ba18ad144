// Finds the image of an archive among an engine's images, under any name. Two images are the
// same if their digests or their whole configurations are equal; otherwise it is not known.
import type { ComparedImage, ReadImages, StoredImage } from '../image/source.ts'
import { inspectImage, type Engine } from './engine.ts'
import { listUntagged } from './lists.ts'

/**
 * @param readImages - is called only if the engine's answers and the metadata do not decide
 * @returns whether the engine's image is the archived one; false if that is not certain
 * @throws what `readImages` throws
 */
export async function isSameImage(
  { store }: Engine,
  image: StoredImage,
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
 * Looks for an image by its content. It may have any name, or none.
 *
 * @param readImages - as for {@link isSameImage}
 * @returns the engine's image, or undefined if none is certainly the same
 */
export async function findExisting(
  engine: Engine,
  archived: ComparedImage,
  readImages: ReadImages,
): Promise<StoredImage | undefined> {
  for (const id of engine.store.idsOf(archived) ?? (await listUntagged(engine))) {
    const image = await inspectImage(engine, id, archived.platform)
    if (image && (await isSameImage(engine, image, archived, readImages))) return image
  }
  return undefined
}
