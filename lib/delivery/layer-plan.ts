// Which layers of an archive an engine has to be sent, and from where: those
// that it has can stay behind, those that an increment lacks come from earlier
// archives.
import { chainIds } from '../image/chain-id.ts'
import type { ArchiveMetadata } from './metadata.ts'
import type { ExternalLayer } from '../image/docker-archive.ts'
import type { IndexedLayer } from './layer-index.ts'

/** A layer that goes into the tar from another archive. */
export interface RestoredLayer {
  readonly layer: IndexedLayer
  readonly external: ExternalLayer
}

/** What is to be done with the layers of an archive. */
export interface LoadPlan {
  /** Those that the engine has, by their digest in the tar. */
  readonly excluded: ReadonlySet<string>
  readonly restored: readonly RestoredLayer[]
  /** Those that are nowhere. */
  readonly missing: readonly ExternalLayer[]
  /** Size of what the engine has, in bytes of tar. */
  readonly skippedBytes: number
}

/**
 * @param existing - the chain IDs of the layers that the engine has
 * @param indexed - the layers of other archives that are at hand
 */
export function planLoad(
  metadata: ArchiveMetadata,
  existing: ReadonlySet<string>,
  indexed: readonly IndexedLayer[],
): LoadPlan {
  const has = existingLayers(metadata, existing)
  const own = metadata.segments.filter(({ layerDigest: digest = '' }) => has.has(digest))
  const { requires = [] } = metadata
  const restored: RestoredLayer[] = []
  const missing: ExternalLayer[] = []
  for (const external of requires.filter(({ digest }) => !has.has(digest))) {
    const layer = indexed.find(({ digest }) => digest === external.digest)
    if (layer) restored.push({ layer, external })
    else missing.push(external)
  }
  const skipped = requires.filter(({ digest }) => has.has(digest))
  return {
    excluded: new Set(own.map(({ layerDigest: digest = '' }) => digest)),
    restored,
    missing,
    skippedBytes:
      own.reduce((total, { tarSizeBytes }) => total + tarSizeBytes, 0) +
      skipped.reduce((total, { sizeBytes }) => total + sizeBytes, 0),
  }
}

// A layer lies in a tar once, though it may have several places.
function existingLayers({ images }: ArchiveMetadata, existing: ReadonlySet<string>): Set<string> {
  const has = new Set<string>()
  const lacks = new Set<string>()
  for (const { layers } of images) {
    const chain = chainIds(layers.map((layer) => layer.diffId))
    for (const [index, layer] of layers.entries()) {
      const side = existing.has(String(chain[index])) ? has : lacks
      side.add(layer.digest)
    }
  }
  return has.difference(lacks)
}
