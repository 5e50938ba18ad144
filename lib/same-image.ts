// Whether an engine's image is the one in an archive. An image ID alone does
// not tell: what it is depends on the engine's store.
import type { ArchivedImage } from './docker-archive.ts'
import type { EngineImage } from './engine-image.ts'
import type { Engine } from './engine.ts'

/**
 * A containerd store does not tell the config's digest, and one image may have
 * several manifests: there, layers and manifest decide, or layers and the time
 * of the build. Images that differ in their settings only have another time.
 *
 * @returns whether the engine's image is the archive's
 */
export function isSameImage(engine: Engine, own: EngineImage, archived: ArchivedImage): boolean {
  if (engine.idIsConfig) return own.id === archived.configDigest
  if (!hasLayers(archived, own.diffIds)) return false
  const isManifest = archived.manifestDigests.includes(own.manifestDigest ?? own.id)
  return isManifest || isOfOneTime(own.created, archived.created)
}

/** @returns whether an archived image consists of just these layers. */
export function hasLayers(archived: ArchivedImage, diffIds: readonly string[]): boolean {
  return archived.layers.map((layer) => layer.diffId).join() === diffIds.join()
}

// An engine may write a time another way than the config has it.
function isOfOneTime(own: string | undefined, archived: string | undefined): boolean {
  if (own === undefined || archived === undefined) return true
  return Date.parse(own) === Date.parse(archived)
}
