// Plans which parts of an archive are sent: it depends on the layers that the engine has, those
// that it is about to get, and the archives at hand.
import { ToolError } from '../../core/errors.ts'
import { formatBytes } from '../../core/format.ts'
import type { IndexedLayer } from '../../delivery/layer-index.ts'
import { planLoad, type LoadPlan } from '../../delivery/layer-plan.ts'
import { readBaseLayers, type BaseOptions } from '../../delivery/layer-sources.ts'
import type { ArchiveMetadata } from '../../delivery/metadata.ts'
import type { ArchivedImage, ExternalLayer } from '../../image/docker-archive.ts'
import type { ImageSink } from '../../image/sink.ts'
import type { Target } from '../targets.ts'

/** Where layers may be, besides the archive. */
export interface PlanOptions extends BaseOptions {
  /** Whether to send layers that the engine has. */
  readonly force: boolean
}

/** What the plan is made from. */
export interface PlanTools {
  readonly sink: Pick<ImageSink, 'missing' | 'forget'>
  readonly options: PlanOptions
  /**
   * The images that the sink will have before this one; empty if it does not take partial tars.
   */
  readonly before: readonly ArchivedImage[]
}

/**
 * @returns which layers of an archive are sent
 * @throws MISSING_LAYER if a layer is nowhere; the message names each layer, and the archive
 *   that carried it. Also throws the sink's errors.
 */
export async function planArchive(
  target: Target,
  metadata: ArchiveMetadata,
  { sink, options, before }: PlanTools,
): Promise<LoadPlan> {
  const forced = options.force ? { ...metadata, segments: [] } : metadata
  const indexed = await readIndexed(target, metadata, options)
  const plan = async (): Promise<LoadPlan> =>
    planLoad(forced, await sink.missing(metadata.images, before), indexed)
  const planned = await plan()
  if (planned.missing.length === 0) return planned
  // Somebody else may have loaded the layers since the sink listed its own.
  sink.forget()
  return complete(target, await plan())
}

/**
 * @returns the plan for a sink that has no layers
 * @throws MISSING_LAYER as {@link planArchive}
 */
export async function planWhole(
  target: Target,
  metadata: ArchiveMetadata,
  options: PlanOptions,
): Promise<LoadPlan> {
  return complete(
    target,
    planLoad(metadata, undefined, await readIndexed(target, metadata, options)),
  )
}

async function readIndexed(
  { archive }: Target,
  metadata: ArchiveMetadata,
  options: PlanOptions,
): Promise<IndexedLayer[]> {
  return metadata.requires ? readBaseLayers(archive, options) : []
}

function complete({ label }: Target, planned: LoadPlan): LoadPlan {
  if (planned.missing.length > 0) throw missingLayers(label, planned.missing)
  return planned
}

function missingLayers(label: string, missing: readonly ExternalLayer[]): ToolError {
  const byArchive = Object.entries(Object.groupBy(missing, ({ archive }) => archive))
  const layers = byArchive.map(([archive, from = []]) => {
    const each = from.map(({ digest, sizeBytes }) => `${digest} (${formatBytes(sizeBytes)})`)
    return `of "${archive}": ${each.join(', ')}`
  })
  return new ToolError('MISSING_LAYER', `load "${label}": it needs layers ${layers.join('; ')}`, {
    hint: 'name their directories with --base, or put them into the delivery, each with its metadata (.json) and its lines of SHA256SUMS',
  })
}
