// What earlier deliveries carried, by their metadata. A layer counts only at the
// same place of the same chain: that is how a graph-driver store knows it, so
// that a tar without it loads there by hand as well.
import type { ArchiveMetadata, CachedLayer } from './metadata.ts'

/** A layer that an earlier delivery carried. */
export interface DeliveredLayer extends CachedLayer {
  /** The file name of the archive that carried it. */
  readonly archive: string
}

/**
 * @param all - the metadata of earlier archives
 * @param diffIds - the layers of the image that is to be delivered now
 * @param isLost - whether the archive of a layer is gone, or has lost the layer
 * @returns the layers of this image that need not be delivered again, by digest
 */
export function deliveredLayers(
  all: readonly ArchiveMetadata[],
  diffIds: readonly string[],
  isLost: (layer: DeliveredLayer) => boolean = () => false,
): Map<string, DeliveredLayer> {
  const chains = all.flatMap((metadata) =>
    metadata.images.map(({ layers }) => {
      return { metadata, layers: layers.slice(0, commonLength(layers, diffIds)) }
    }),
  )
  const longest = Math.max(0, ...chains.map(({ layers }) => layers.length))
  // If a layer occurs again above the common layers, it is needed for that place.
  const above = new Set(diffIds.slice(longest))
  const found = new Map<string, DeliveredLayer>()
  for (const { metadata, layers } of chains) {
    for (const layer of layers.filter(({ diffId }) => !above.has(diffId))) {
      const { digest, sizeBytes } = layer
      const delivered = { digest, sizeBytes, archive: carrier(metadata, digest) }
      if (!found.has(digest) && !isLost(delivered)) found.set(digest, delivered)
    }
  }
  return found
}

function commonLength(
  layers: readonly { readonly diffId: string }[],
  diffIds: readonly string[],
): number {
  const end = layers.findIndex(({ diffId }, index) => diffId !== diffIds[index])
  return end === -1 ? layers.length : end
}

function carrier(metadata: ArchiveMetadata, digest: string): string {
  const external = metadata.requires?.find((layer) => layer.digest === digest)
  return external?.archive ?? metadata.archive.file
}
