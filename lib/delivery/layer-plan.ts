// Plans a load: which layers of an archive an engine needs, and where they come from. Layers
// that the engine has are not sent. Layers that an increment lacks come from earlier archives.
import { chainIds } from '../image/chain-id.ts'
import type { ArchiveMetadata } from './metadata.ts'
import type { ExternalLayer } from '../image/docker-archive.ts'
import type { IndexedLayer } from './layer-index.ts'

/** A layer that is put into the tar from another archive. */
export interface RestoredLayer {
  readonly layer: IndexedLayer
  readonly external: ExternalLayer
}

/** What a load does with the layers of an archive. */
export interface LoadPlan {
  /** The layers in the archive that the engine has, by their digest in the tar. */
  readonly excluded: ReadonlySet<string>
  readonly restored: readonly RestoredLayer[]
  /** The external layers that neither the engine nor another archive has. */
  readonly missing: readonly ExternalLayer[]
  /** The size of the layers that the engine has, in bytes of tar. */
  readonly skippedBytes: number
}

/**
 * @param metadata - the metadata of the archive
 * @param existing - the chain IDs of the layers that the engine has
 * @param indexed - the layers of other archives at hand
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

// A tar has each layer once, though images may use it in several places. It is left out only if
// the engine has it in all of them.
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
