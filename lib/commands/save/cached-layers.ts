// What is known of an image's layers before it is saved: which need not be
// compressed again, and which need not go over again.
import { basename } from 'node:path'

import { archiveNames, incrementName } from '../../delivery/name.ts'
import type { WriteOptions } from '../../archive/writer.ts'
import { deliveredLayers, type DeliveredLayer } from '../../delivery/delivered-layers.ts'
import type { EngineImage } from '../../engine/inspect.ts'
import {
  findIndexed,
  readAllMetadata,
  type FoundMetadata,
  type ReuseOptions,
} from '../../delivery/layer-index.ts'
import type { ImageReference } from '../../image/reference.ts'
import { sum } from '../sizes.ts'

/** Where to look. */
export interface CachedLayerOptions extends ReuseOptions {
  /** Directories with the metadata of what was delivered: its layers are left out. */
  readonly since: readonly string[]
  /** Whether layers are stored uncompressed, whatever the engine has. */
  readonly recompress: boolean
}

/** @returns the layers that a save need not compress, or carry, again. */
export async function findCachedLayers(
  reference: ImageReference,
  image: EngineImage,
  options: CachedLayerOptions,
): Promise<Pick<WriteOptions, 'reuse' | 'excluded' | 'expected'>> {
  const reuse = await findIndexed(options)
  const excluded = await findDelivered(reference, image, options)
  return { reuse, excluded, expected: new Set(image.diffIds) }
}

/**
 * @returns the image's layers that earlier deliveries carried, by digest as they
 *   lie in a tar: one that was carried compressed is not the same bytes plain
 */
export async function findDelivered(
  reference: ImageReference,
  image: EngineImage,
  { dir, since, recompress }: Pick<CachedLayerOptions, 'dir' | 'since' | 'recompress'>,
): Promise<ReadonlyMap<string, DeliveredLayer>> {
  const found = await Promise.all(since.map((each) => readAllMetadata(each)))
  const all = found.flat().map(({ metadata }) => metadata)
  // An increment may take the place of the one before it, here or where the metadata
  // are kept, and with it goes what that one carried.
  const replaced = archiveNames(reference).map(incrementName)
  const unknown = new Set<string>()
  const onBad = (_: string, archive: string): void => void unknown.add(basename(archive))
  const here = since.length > 0 ? await readAllMetadata(dir, onBad) : []
  const delivered = deliveredLayers(all, image.diffIds, (layer) => {
    // Whether an archive with damaged metadata still has it, nobody knows.
    if (replaced.includes(layer.archive) || unknown.has(layer.archive)) return true
    return here.some((other) => hasLost(other, layer))
  })
  const plain = new Set(image.diffIds)
  return recompress ? new Map([...delivered].filter(([digest]) => plain.has(digest))) : delivered
}

// An archive of that name lies here, and has been made anew without the layer.
function hasLost({ metadata }: FoundMetadata, { digest, archive }: DeliveredLayer): boolean {
  if (metadata.archive.file !== archive) return false
  return metadata.segments.every((segment) => segment.layerDigest !== digest)
}

/** @returns about how many bytes of tar an image's archive has to hold. */
export async function bytesToSave(
  reference: ImageReference,
  image: EngineImage,
  options: CachedLayerOptions,
): Promise<number> {
  const excluded = await findDelivered(reference, image, options)
  return Math.max(0, image.sizeBytes - sum([...excluded.values()]))
}
