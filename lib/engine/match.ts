// Whether an engine's image is the one in an archive, and which of them is, whatever
// name it has there. Identity is shown by digests, or by a comparison of the whole
// configuration; what neither shows is not known.
import type { ArchivedImage } from '../image/docker-archive.ts'
import { inspectImage, type Engine } from './engine.ts'
import type { EngineImage } from './inspect.ts'
import { listUntagged } from './lists.ts'

/** An image in an archive, and whether its layers were compressed before. */
export interface ComparedImage extends ArchivedImage {
  readonly recompressed?: true
}

/**
 * A graph driver tells the config's digest. A containerd store tells the manifest's:
 * that decides where the archive has the manifest as the engine gets it. An archive
 * without one, as of an older engine, gets a manifest that the engine makes: there
 * layers, platform, time of the build and settings decide. Layers and time alone do
 * not: builders give many images the same time.
 *
 * @returns whether the engine's image is the archive's; undefined if it is not known
 */
export function compareImage(
  engine: Engine,
  image: EngineImage,
  archived: ComparedImage,
): boolean | undefined {
  if (isOtherImage(engine, image, archived)) return false
  if (engine.idIsConfig || hasDigest(archived, image)) return true
  return engine.name === 'docker' ? compareConfig(image, archived) : undefined
}

/** @returns whether a digest, or the layers, show that the engine's image is another. */
export function isOtherImage(engine: Engine, image: EngineImage, archived: ComparedImage): boolean {
  if (!mayBeSame(engine, image, archived)) return true
  const isTold = image.manifestDigest !== undefined && archived.manifestDigests.length > 0
  return isTold && !archived.recompressed && !hasDigest(archived, image)
}

/** @returns whether nothing that an engine tells at once speaks against it: its config digest, or its layers. */
export function mayBeSame(
  { idIsConfig }: Pick<Engine, 'idIsConfig'>,
  image: EngineImage,
  archived: ArchivedImage,
): boolean {
  return idIsConfig ? image.id === archived.configDigest : hasLayers(archived, image.diffIds)
}

/** @returns whether an archived image consists of just these layers. */
export function hasLayers(archived: ArchivedImage, diffIds: readonly string[]): boolean {
  return archived.layers.map((layer) => layer.diffId).join() === diffIds.join()
}

// nerdctl tells the config's.
function hasDigest({ manifestDigests, configDigest }: ArchivedImage, image: EngineImage): boolean {
  return [...manifestDigests, configDigest].includes(image.manifestDigest ?? image.id)
}

// The layers are the same already.
function compareConfig(image: EngineImage, archived: ArchivedImage): boolean | undefined {
  if (!isSamePlatform(image.platform, archived.platform)) return false
  const [ownMs, archivedMs] = [image.created, archived.created].map((time) =>
    Date.parse(time ?? ''),
  )
  if (ownMs !== archivedMs && !Number.isNaN(ownMs) && !Number.isNaN(archivedMs)) return false
  if (image.settings === undefined || archived.settings === undefined) return undefined
  return image.settings === archived.settings
}

// Not every engine tells a variant.
function isSamePlatform(image: string, archived: string): boolean {
  return `${image}/`.startsWith(`${archived}/`) || `${archived}/`.startsWith(`${image}/`)
}

/** Reads the images of an archive from its tar, with their settings. */
export type ReadImages = () => Promise<readonly ArchivedImage[]>

/**
 * @param readImages - asked only where nothing else tells
 * @returns whether the engine's image is the archived one; false where that is in doubt
 * @throws what `readImages` throws
 */
export async function isSameImage(
  engine: Engine,
  image: EngineImage,
  archived: ComparedImage,
  readImages: ReadImages,
): Promise<boolean> {
  const known = compareImage(engine, image, archived)
  if (known !== undefined) return known
  const images = await readImages()
  const read = images.find(({ configDigest }) => configDigest === archived.configDigest)
  return read !== undefined && compareImage(engine, image, { ...archived, ...read }) === true
}

/**
 * Looks by what the image is, whatever name it has there, or none.
 *
 * @param readImages - as for {@link isSameImage}
 * @returns the engine's own of an archived image, or undefined if it has none for certain
 */
export async function findExisting(
  engine: Engine,
  archived: ComparedImage,
  readImages: ReadImages,
): Promise<EngineImage | undefined> {
  for (const id of await possibleIds(engine, archived)) {
    const image = await inspectImage(engine, id, archived.platform)
    if (image && (await isSameImage(engine, image, archived, readImages))) return image
  }
  return undefined
}

// A containerd store gives an image that comes without a manifest one of its
// own making, whose digest nobody knows beforehand.
async function possibleIds(engine: Engine, archived: ArchivedImage): Promise<readonly string[]> {
  if (engine.idIsConfig) return [archived.configDigest]
  return archived.manifestDigests.length > 0 ? archived.manifestDigests : listUntagged(engine)
}
