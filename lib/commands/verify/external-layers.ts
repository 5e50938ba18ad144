// Verifies the layers that an increment takes from earlier archives: without them it is not
// complete.
import { verifyLayers } from '../../archive/layer-reader.ts'
import type { ReadProgress } from '../../archive/pipeline.ts'
import type { Decompressors } from '../../codec/programs.ts'
import type { VerbContext } from '../../core/outcome.ts'
import { planLoad } from '../../delivery/layer-plan.ts'
import { readBaseLayers, type BaseOptions } from '../../delivery/layer-sources.ts'
import type { ArchiveMetadata } from '../../delivery/metadata.ts'
import type { Target } from '../targets.ts'

/** Where the earlier archives are, and how to read them. */
export interface VerifyExternalOptions extends BaseOptions, VerbContext {
  readonly threads: number | undefined
}

/**
 * @returns a sentence on what was verified, and one on the layers that were not at hand; empty
 *   for a full archive
 * @throws MISMATCH or BAD_ARCHIVE if an earlier archive is damaged
 */
export async function verifyExternal(
  { archive, label }: Target,
  metadata: ArchiveMetadata | undefined,
  decompressors: Decompressors,
  options: VerifyExternalOptions,
): Promise<string[]> {
  const { threads, signal, notify } = options
  if (!metadata?.requires) return []
  const indexed = await readBaseLayers(archive, options)
  const { restored, missing } = planLoad(metadata, undefined, indexed)
  const onProgress = (progress: ReadProgress): void =>
    notify({ type: 'progress', label, ...progress })
  const layers = restored.map(({ layer }) => layer)
  if (layers.length > 0) {
    await verifyLayers(layers, { decompressors, threads, signal, onProgress })
  }
  const notes = layers.length > 0 ? [`${layers.length} layers of earlier archives are whole`] : []
  if (missing.length === 0) return notes
  const carriers = [...new Set(missing.map((layer) => `"${layer.archive}"`))].join(', ')
  return [...notes, `${missing.length} layers of ${carriers} were not at hand to be checked`]
}
