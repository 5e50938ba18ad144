// Plans a load: which layers of an archive a sink needs, and where they come from. Layers that
// it has are not sent. Layers that an increment lacks come from earlier archives.
import type { Digest } from '../image/digest.ts'
import type { ExternalLayer } from '../image/docker-archive.ts'
import type { IndexedLayer } from './layer-index.ts'
import type { ArchiveMetadata } from './metadata.ts'

/** A layer that is put into the tar from another archive. */
export interface RestoredLayer {
  readonly layer: IndexedLayer
  readonly external: ExternalLayer
}

/** What a load does with the layers of an archive. */
export interface LoadPlan {
  /** The layers in the archive that the sink has, by their digest in the tar. */
  readonly excluded: ReadonlySet<string>
  readonly restored: readonly RestoredLayer[]
  /** The external layers that neither the sink nor another archive has. */
  readonly missing: readonly ExternalLayer[]
  /** The size of the layers that the sink has, in bytes of tar. */
  readonly skippedBytes: number
}

/**
 * @param metadata - the metadata of the archive
 * @param lacked - the layers that have to be sent, by their digest in the archive; by default all
 * @param indexed - the layers of other archives at hand
 */
export function planLoad(
  metadata: ArchiveMetadata,
  lacked: ReadonlySet<Digest> | undefined,
  indexed: readonly IndexedLayer[],
): LoadPlan {
  const layers = metadata.images.flatMap((image) => image.layers.map(({ digest }) => digest))
  const has = new Set(lacked && layers).difference(lacked ?? new Set())
  const own = metadata.segments.flatMap(({ layerDigest: digest, ...segment }) =>
    digest !== undefined && has.has(digest) ? [{ ...segment, digest }] : [],
  )
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
    excluded: new Set(own.map(({ digest }) => digest)),
    restored,
    missing,
    skippedBytes:
      own.reduce((total, { tarSizeBytes }) => total + tarSizeBytes, 0) +
      skipped.reduce((total, { sizeBytes }) => total + sizeBytes, 0),
  }
}
