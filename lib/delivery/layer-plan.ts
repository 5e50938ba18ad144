// Which layers of an archive an engine has to be sent, and from where: those
// that it has can stay behind, those that an increment lacks come from earlier
// archives.
import { chainIds } from '../image/chain-id.ts'
import type { ArchiveRecord } from './metadata.ts'
import { layerDigest, type RequiredLayer } from '../image/docker-archive.ts'
import type { HeldLayer } from './layer-index.ts'

/** A layer that goes into the tar from another archive. */
export interface PutBack {
  readonly layer: HeldLayer
  readonly required: RequiredLayer
}

/** What is to be done with the layers of an archive. */
export interface LoadPlan {
  /** Those that the engine has, by their digest in the tar. */
  readonly omit: ReadonlySet<string>
  readonly putBack: readonly PutBack[]
  /** Those that are nowhere. */
  readonly missing: readonly RequiredLayer[]
  /** Size of what the engine has, in bytes of tar. */
  readonly skippedBytes: number
}

/**
 * @param present - the chain IDs of the layers that the engine has
 * @param held - the layers of other archives that are at hand
 */
export function planLoad(
  record: ArchiveRecord,
  present: ReadonlySet<string>,
  held: readonly HeldLayer[],
): LoadPlan {
  const has = presentLayers(record, present)
  const own = record.segments.filter(({ layerDigest: digest = '' }) => has.has(digest))
  const { requires = [] } = record
  const putBack: PutBack[] = []
  const missing: RequiredLayer[] = []
  for (const required of requires.filter(({ digest }) => !has.has(digest))) {
    const layer = held.find(({ digest }) => digest === required.digest)
    if (layer) putBack.push({ layer, required })
    else missing.push(required)
  }
  const skipped = requires.filter(({ digest }) => has.has(digest))
  return {
    omit: new Set(own.map(({ layerDigest: digest = '' }) => digest)),
    putBack,
    missing,
    skippedBytes:
      own.reduce((total, { tarSizeBytes }) => total + tarSizeBytes, 0) +
      skipped.reduce((total, { sizeBytes }) => total + sizeBytes, 0),
  }
}

// A layer lies in a tar once, though it may have several places.
function presentLayers({ images }: ArchiveRecord, present: ReadonlySet<string>): Set<string> {
  const has = new Set<string>()
  const lacks = new Set<string>()
  for (const { layers } of images) {
    const chain = chainIds(layers.map((layer) => layer.diffId))
    for (const [index, layer] of layers.entries()) {
      const side = present.has(String(chain[index])) ? has : lacks
      side.add(layerDigest(layer))
    }
  }
  return has.difference(lacks)
}
