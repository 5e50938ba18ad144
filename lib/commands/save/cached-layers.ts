// Finds the layers of an image that are known before it is saved: those that need not be
// compressed again, and those that need not be delivered again.
import { basename } from 'node:path'

import type { KnownLayers } from '../../archive/layer-splitter.ts'
import type { Catalog } from '../../delivery/catalog.ts'
import { deliveredLayers, type DeliveredLayer } from '../../delivery/delivered-layers.ts'
import { findIndexed, type ReuseOptions } from '../../delivery/layer-sources.ts'
import type { ArchiveMetadata } from '../../delivery/metadata.ts'
import { archiveNames, incrementName } from '../../delivery/name.ts'
import type { ImageReference } from '../../image/reference.ts'
import type { StoredImage } from '../../image/source.ts'
import { sum } from '../sizes.ts'
import type { LayerOptions } from './existing-archive.ts'

/** Where to look for layers. */
export interface CachedLayerOptions extends Omit<ReuseOptions, 'reuse'> {
  readonly layers: Pick<LayerOptions<Catalog>, 'reuse' | 'since' | 'recompress'>
}

/** @returns the layers that a save can copy, those that it leaves out, and those of the image */
export async function findCachedLayers(
  reference: ImageReference,
  image: StoredImage,
  options: CachedLayerOptions,
): Promise<KnownLayers> {
  const reuse = await findIndexed({ ...options, reuse: options.layers.reuse })
  const excluded = await findDelivered(reference, image, options)
  return { reuse, excluded, expected: new Set(image.diffIds) }
}

/**
 * @returns the layers of the image that earlier deliveries carried, by their digest in a tar. A
 *   layer that was carried compressed does not count if it is now stored uncompressed, because
 *   its bytes differ.
 */
export async function findDelivered(
  reference: ImageReference,
  image: StoredImage,
  { directory, layers: { since, recompress } }: Pick<CachedLayerOptions, 'directory' | 'layers'>,
): Promise<ReadonlyMap<string, DeliveredLayer>> {
  const all: ArchiveMetadata[] = []
  for (const each of since) {
    for await (const { metadata } of each.all())
      if (sharesLayers(metadata, image)) all.push(metadata)
  }
  const carriers = new Set(all.flatMap(carriersIn))
  // A new increment may replace the previous one, here or in a directory of `since`. The layers
  // in the previous one are then lost, so they do not count as delivered.
  const replaced = archiveNames(reference).map(incrementName)
  const unknown = new Set<string>()
  const onBad = (_: string, archive: string): void => void unknown.add(basename(archive))
  const here: ArchiveMetadata[] = []
  for await (const { metadata } of since.length > 0 ? directory.all(onBad) : []) {
    if (carriers.has(metadata.archive.file)) here.push(metadata)
  }
  const delivered = deliveredLayers(all, image.diffIds, (layer) => {
    // If the metadata of an archive is damaged, it is not known whether it still has the layer.
    if (replaced.includes(layer.archive) || unknown.has(layer.archive)) return true
    return here.some((other) => hasLost(other, layer))
  })
  const plain = new Set(image.diffIds)
  return recompress ? new Map([...delivered].filter(([digest]) => plain.has(digest))) : delivered
}

function sharesLayers({ images }: ArchiveMetadata, { diffIds: [first] }: StoredImage): boolean {
  return images.some(({ layers }) => layers[0] !== undefined && layers[0].diffId === first)
}

function carriersIn({ archive, requires = [] }: ArchiveMetadata): string[] {
  return [archive.file, ...requires.map((layer) => layer.archive)]
}

// @returns whether an archive of the same name is here, and was made again without the layer
function hasLost(metadata: ArchiveMetadata, { digest, archive }: DeliveredLayer): boolean {
  if (metadata.archive.file !== archive) return false
  return metadata.segments.every((segment) => segment.layerDigest !== digest)
}

/** @returns about how many bytes of tar the archive of an image will hold */
export async function bytesToSave(
  reference: ImageReference,
  image: StoredImage,
  options: CachedLayerOptions,
): Promise<number> {
  const excluded = await findDelivered(reference, image, options)
  return Math.max(0, image.sizeBytes - sum([...excluded.values()]))
}
