// Whether an engine's image is the one in an archive. An image ID alone does
// not tell: what it is depends on the engine's store.
import type { ArchivedImage } from './docker-archive.ts'
import type { Engine, EngineImage } from './engine.ts'

/** @returns whether the engine's image has the config, or on a containerd store the manifest or the layers, of the archive's. */
export function isSameImage(engine: Engine, own: EngineImage, archived: ArchivedImage): boolean {
  if (engine.idIsConfig) return own.id === archived.configDigest
  return archived.manifestDigests.includes(own.id) || hasLayers(archived, own.diffIds)
}

/** @returns whether an archived image consists of just these layers. */
export function hasLayers(archived: ArchivedImage, diffIds: readonly string[]): boolean {
  return archived.layers.map((layer) => layer.diffId).join() === diffIds.join()
}
