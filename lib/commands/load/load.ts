// Loads archives into the sink, which gets the end of a tar only after every byte of the archive
// is verified.
import { basename } from 'node:path'

import { createBetweenReader } from '../../archive/between-layers.ts'
import {
  describeDecompressors,
  findDecompressors,
  type CompressorName,
} from '../../codec/programs.ts'
import { toOutcome, type Outcome, type Result, type RunContext } from '../../core/outcome.ts'
import { Delivery, type DeliveryOptions } from '../../delivery/delivery.ts'
import { checkDirectory } from '../../delivery/directory.ts'
import type { ArchiveMetadata } from '../../delivery/metadata.ts'
import type { EngineName } from '../../engine/engine.ts'
import { openEngineSink } from '../../engine/sink.ts'
import type { ArchivedImage } from '../../image/docker-archive.ts'
import type { ExistingImage, ImageSink } from '../../image/sink.ts'
import { checkNamed, noteOtherNames } from '../archive-names.ts'
import { findDelivered } from '../delivered-archive.ts'
import { MAX_TOLD, findMissingOf, missingOutcomes } from '../missing-files.ts'
import { findTargetsOf, type Target, type TargetOptions } from '../targets.ts'
import { loadArchive, noImage, type LoadTools } from './load-archive.ts'
import { planArchive } from './plan.ts'
import { areIndependent, LoadQueue } from './queue.ts'

/** Options of {@link load}. */
export interface LoadOptions extends TargetOptions {
  readonly delivery: DeliveryOptions
  readonly engine: EngineName | undefined
  /** The program to decompress with; by default the fastest one available. */
  readonly compressor: CompressorName | undefined
  /** Whether to load images and layers that the engine already has. */
  readonly force: boolean
  readonly dryRun: boolean
}

interface Context extends LoadTools {
  readonly options: LoadTools['options'] & { readonly dryRun: boolean }
}

/**
 * @returns one outcome for each archive, and a failed one for each missing file of the delivery
 * @throws before anything is loaded: NO_ARCHIVE if there is none; BAD_LIST, BAD_REFERENCE,
 *   NO_DIRECTORY, NO_COMPRESSOR, NO_ENGINE, ENGINE_DOWN, ENGINE_DENIED, ENGINE_FAILED; at any
 *   time INTERRUPTED
 */
export async function* load(options: LoadOptions, context: RunContext): AsyncGenerator<Outcome> {
  const { dir, bases } = options.delivery
  const { notify, signal } = context
  for (const each of [dir, ...bases]) await checkDirectory(each)
  const delivery = new Delivery(options.delivery)
  const place = { ...options, dir, notify }
  const missing = await findMissingOf(place, delivery)
  const targets = await findTargetsOf(place, delivery, missing)
  for (const { error } of missing.slice(0, MAX_TOLD)) {
    notify({ type: 'warning', text: error.message })
  }
  const [sink, decompressors] = await Promise.all([
    openEngineSink(options.engine, signal),
    findDecompressors({ ...context, wanted: options.compressor }),
  ])
  const { force, dryRun } = options
  const given = { ...context, dir, bases, delivery, force, dryRun }
  notify({ type: 'remark', text: describeDecompressors(decompressors) })
  // An older image would take the tag away from the newer image of the same name.
  const newest = targets.filter(({ isSuperseded }) => !isSuperseded)
  const queue = createQueue(newest, { sink, decompressors, options: given })
  const failed = new Set<string>()
  try {
    for (const target of newest) {
      const archive = basename(target.archive)
      const outcome = await toOutcome(target.label, archive, context, () => queue.load(target))
      if (outcome.result === 'failed') failed.add(outcome.archive)
      yield outcome
    }
    yield* missingOutcomes(missing, failed, context)
  } finally {
    await queue.end()
  }
}

function createQueue(targets: readonly Target[], context: Context): LoadQueue {
  const { options } = context
  return new LoadQueue(targets, options, countPrefetch(context), (target, verb, turn) =>
    loadTarget(target, { ...context, options: { ...options, ...verb }, ...(turn && { turn }) }),
  )
}

// The engine keeps what was sent of each in its directory for temporary files.
const MAX_PREFETCH = 3

// The bundled codec keeps its threads and their memory until the end of the archive is sent, so
// only one archive is prefetched with it.
function countPrefetch({ sink, decompressors }: LoadTools): number {
  if (!sink.takesPartialTar) return 0
  return decompressors.xz.name === 'builtin' ? 1 : MAX_PREFETCH
}

/** @returns what the sink has by the names of an archive, once no archive before it changes that */
async function lookUpKnown(
  metadata: ArchiveMetadata | undefined,
  { sink, turn }: Context,
): Promise<ExistingImage[]> {
  // What another one brings may be this one, or change what its tags mean.
  if (!metadata || !areIndependent(metadata.images, turn?.before ?? [])) await turn?.wait()
  const [known] = await Promise.all([
    sink.lookUp(metadata?.images ?? []),
    // Meanwhile: what has to be loaded is planned by it.
    metadata && sink.missing(metadata.images),
  ])
  return known
}

/** @returns a note for each platform that is not the sink's own */
export function notePlatform(
  { platform: own }: Pick<ImageSink, 'platform'>,
  images: readonly ArchivedImage[],
): string[] {
  if (own === undefined) return []
  const other = images.map(({ platform }) => platform).filter((platform) => platform !== '')
  return [...new Set(other)]
    .filter((platform) => !`${platform}/`.startsWith(`${own}/`))
    .map((platform) => `it is for ${platform}, this machine is ${own}`)
}

async function loadTarget(target: Target, context: Context): Promise<Result> {
  const { sink, options, turn } = context
  const delivered = await findDelivered(target, options.delivery)
  const { metadata, archiveBytes } = delivered
  if (metadata?.images.length === 0) throw noImage(target.label)
  // If SHA256SUMS has the sha256 of the archive, the archive can be verified without its
  // metadata.
  if (delivered.lost && delivered.listed === undefined) throw delivered.lost
  const sizes = { tarBytes: metadata?.tar.sizeBytes, archiveBytes }
  const known = await lookUpKnown(metadata, context)
  const archived = metadata && { archive: target.archive, metadata }
  const readBetween = archived && createBetweenReader(archived, { ...context, ...options })
  const readImages = async (): Promise<readonly ArchivedImage[]> =>
    readBetween ? (await readBetween()).images : []
  const told = [...delivered.unlisted, ...notePlatform(sink, metadata?.images ?? [])]
  if (readBetween && !options.force) {
    const seen = { readImages, verify: readBetween }
    const had = await sink.tagExisting(known, { ...options, ...turn, ...seen })
    if (had) return { result: 'already loaded', ...sizes, notes: [...told, ...had] }
  }
  if (options.dryRun) {
    const plan = metadata && (await planArchive(target, metadata, { ...context, before: [] }))
    return { result: 'would be loaded', ...sizes, ...skipped(plan?.skippedBytes), notes: told }
  }
  options.notify({ type: 'step', text: `Loading ${basename(target.archive)}...` })
  const checkUnknown = async (images: readonly ArchivedImage[]): Promise<void> => {
    checkNamed(target, { images })
    known.push(...(await sink.lookUp(images)))
    told.push(...notePlatform(sink, images), ...noteOtherNames(target, { images }))
  }
  const loaded = await loadArchive({ target, delivered, readBetween, checkUnknown }, context)
  if (!metadata) told.unshift('no metadata: internally consistent, origin unverified')
  told.push(...(await sink.confirm(loaded.images, known, readImages)))
  const { tarBytes, skippedBytes } = loaded
  return { result: 'loaded', archiveBytes, tarBytes, ...skipped(skippedBytes), notes: told }
}

function skipped(skippedBytes = 0): Pick<Result, 'skippedBytes'> {
  return skippedBytes > 0 ? { skippedBytes } : {}
}
