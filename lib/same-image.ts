// Whether an engine's image is the one in an archive. An image ID alone does
// not tell: what it is depends on the engine's store.
import type { ArchivedImage } from './docker-archive.ts'
import type { EngineImage } from './engine-image.ts'
import type { Engine } from './engine.ts'

/**
 * A containerd store does not tell the config's digest, and one image may have
 * several manifests: there, layers and manifest decide, or layers and the time
 * of the build. Images that differ in their settings only have another time,
 * unless their builder gives all of them the same one.
 *
 * @returns whether the engine's image is the archive's; undefined where it may be
 */
export function compareImage(
  engine: Engine,
  own: EngineImage,
  archived: ArchivedImage,
): boolean | undefined {
  if (engine.idIsConfig) return own.id === archived.configDigest
  if (!hasLayers(archived, own.diffIds)) return false
  if (archived.manifestDigests.includes(own.manifestDigest ?? own.id)) return true
  const [ownMs, archivedMs] = [own.created, archived.created].map(tellingMs)
  if (ownMs === undefined || archivedMs === undefined) return undefined
  return ownMs === archivedMs
}

/** @returns whether the engine's image is the archive's for certain, see {@link compareImage} */
export function isSameImage(...images: Parameters<typeof compareImage>): boolean {
  return compareImage(...images) === true
}

/** @returns whether the engine's image is another than the archive's for certain */
export function isOtherImage(...images: Parameters<typeof compareImage>): boolean {
  return compareImage(...images) === false
}

/** @returns whether an archived image consists of just these layers. */
export function hasLayers(archived: ArchivedImage, diffIds: readonly string[]): boolean {
  return archived.layers.map((layer) => layer.diffId).join() === diffIds.join()
}

// Builders of reproducible images take 1970, 1980 or the year 1. An engine may
// write a time another way than the config has it.
const FIRST_TELLING_MS = Date.UTC(2000)

function tellingMs(created: string | undefined): number | undefined {
  const ms = Date.parse(created ?? '')
  return ms >= FIRST_TELLING_MS ? ms : undefined
}
