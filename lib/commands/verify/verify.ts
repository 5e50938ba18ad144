// Verifies archives: each is digested, together with the engine's image if there is one, and
// the results are compared. On the air-gapped host the archive and its metadata are enough.
import { basename, dirname } from 'node:path'

import { createBetweenReader } from '../../archive/between-layers.ts'
import {
  checkAgainstMetadata,
  checkListed,
  checkNotIncrement,
  quickCheck,
} from '../../archive/check.ts'
import type { ReadArchive } from '../../archive/reader.ts'
import {
  describeDecompressors,
  findDecompressors,
  type CompressorName,
} from '../../codec/programs.ts'
import { ToolError, isInterruption } from '../../core/errors.ts'
import { toOutcome, type Outcome, type Result, type RunContext } from '../../core/outcome.ts'
import { Delivery, type DeliveryOptions } from '../../delivery/delivery.ts'
import { checkDirectory } from '../../delivery/directory.ts'
import type { ArchiveMetadata } from '../../delivery/metadata.ts'
import type { EngineName } from '../../engine/engine.ts'
import { openEngineSource } from '../../engine/source.ts'
import { countUncompared } from '../../image/docker-archive.ts'
import type { ImageSource, ReadImages } from '../../image/source.ts'
import { checkNamed } from '../archive-names.ts'
import { findDelivered, type DeliveredArchive } from '../delivered-archive.ts'
import { findMissingOf, missingOutcomes } from '../missing-files.ts'
import { uncomparedNote } from '../sizes.ts'
import { findTargetsOf, type Target, type TargetOptions } from '../targets.ts'
import { compareImages, engineMd5 } from './compare.ts'
import { verifyExternal } from './external-layers.ts'
import { readInputs, type InputTools, type ReadInputs } from './inputs.ts'
import { findSourceImage, type SourceTar } from './source-image.ts'

/** Options of {@link verify}. */
export interface VerifyOptions extends TargetOptions {
  readonly delivery: DeliveryOptions
  readonly engine: EngineName | undefined
  /** The program to decompress with; by default the fastest one available. */
  readonly compressor: CompressorName | undefined
  /** What to compare with; by default the engine if it has the image, otherwise the metadata. */
  readonly against: 'engine' | 'record' | undefined
  /** Whether to check only the sha256 of the archive. */
  readonly quick: boolean
  readonly dryRun: boolean
}

interface Given extends RunContext, Pick<VerifyOptions, 'against' | 'dryRun'> {
  readonly dir: string
  readonly bases: readonly string[]
  readonly delivery: Delivery
}

interface Context extends InputTools {
  readonly options: Given
}

/**
 * @returns one outcome for each archive, and a failed one for each missing file of the delivery
 * @throws before any archive is read: NO_ARCHIVE if there is none; BAD_LIST, BAD_REFERENCE,
 *   NO_DIRECTORY, NO_COMPRESSOR; the errors of {@link openEngineSource} if `against` is `engine`; at
 *   any time INTERRUPTED
 */
export async function* verify(
  options: VerifyOptions,
  context: RunContext,
): AsyncGenerator<Outcome> {
  const { against, quick, dryRun } = options
  const { dir, bases } = options.delivery
  const { notify } = context
  for (const each of [dir, ...bases]) await checkDirectory(each)
  const delivery = new Delivery(options.delivery)
  const place = { ...options, dir, notify }
  const missing = await findMissingOf(place, delivery)
  const targets = await findTargetsOf(place, delivery, missing)
  const given = { ...context, against, dryRun, dir, bases, delivery }
  const tools = quick || dryRun ? undefined : await prepare(options, given)
  const failed = new Set<string>()
  for (const target of targets) {
    if (!dryRun) notify({ type: 'step', text: `Checking ${target.label}...` })
    const outcome = await toOutcome(target.label, basename(target.archive), context, () =>
      verifyTarget(target, given, tools),
    )
    if (outcome.result === 'failed') failed.add(outcome.archive)
    yield outcome
  }
  yield* missingOutcomes(missing, failed, context)
}

async function prepare(
  { engine, compressor: wanted }: VerifyOptions,
  options: Given,
): Promise<Context> {
  const { notify } = options
  const [source, decompressors] = await Promise.all([
    chooseSource(engine, options),
    findDecompressors({ ...options, wanted }),
  ])
  notify({ type: 'remark', text: describeDecompressors(decompressors) })
  return { source, decompressors, options, writesDifferently: false }
}

// If no engine answers, the archive is verified by its metadata.
async function chooseSource(
  engine: EngineName | undefined,
  { against, notify, signal }: Given,
): Promise<ImageSource | undefined> {
  if (against === 'record') return undefined
  try {
    return await openEngineSource(engine, signal)
  } catch (error) {
    const isFinal = against === 'engine' || isInterruption(error)
    if (!(error instanceof ToolError) || isFinal) throw error
    notify({ type: 'warning', text: `${error.message}; checking against the metadata` })
    return undefined
  }
}

async function verifyTarget(
  target: Target,
  options: Given,
  context: Context | undefined,
): Promise<Result> {
  const delivered = await findDelivered(target, options.delivery)
  const { archiveBytes, metadata } = delivered
  if (delivered.lost) throw delivered.lost
  const tarBytes = metadata?.tar.sizeBytes
  if (options.dryRun) return { result: 'would be verified', tarBytes, archiveBytes }
  const hasSums = (await options.delivery.manifestOf(dirname(target.archive))) !== undefined
  const unlisted = hasSums ? delivered.unlisted : ['there is no SHA256SUMS']
  if (!context) {
    await quickCheck(target.archive, delivered, options)
    const notes = ['only the sha256 was checked', ...unlisted]
    return { result: 'verified', tarBytes, archiveBytes, notes }
  }
  const sourceTar = await findSourceTar(target, metadata, context)
  if (!metadata) checkNotIncrement('verify', target.archive)
  const inputs = await readInputs({ target, metadata, sourceTar }, context)
  const without = metadata ? [] : ['it has no metadata']
  const found = { archiveBytes, ...findings(inputs, metadata) }
  try {
    if (sourceTar && !inputs.digest && options.against === 'engine') throw severalImages(target)
    const notes = await judge(target, delivered, inputs, context)
    return { result: 'verified', ...found, notes: [...without, ...unlisted, ...notes] }
  } catch (error) {
    // Both md5 are known by now, and are shown with the error.
    if (!(error instanceof ToolError)) throw error
    return { result: 'failed', ...found, error }
  }
}

/** @returns the image to compare with, if the source has it */
async function findSourceTar(
  target: Target,
  metadata: ArchiveMetadata | undefined,
  context: Context,
): Promise<SourceTar | undefined> {
  const { source, options } = context
  const { archive } = target
  // The name of a superseded image now means a newer one, so it is not looked up in the source.
  const isNamed = options.against === 'engine' || !(target.isSuperseded && metadata)
  const readBetween =
    metadata && createBetweenReader({ archive, metadata }, { ...context, ...options })
  const readImages: ReadImages = async () => (readBetween ? (await readBetween()).images : [])
  const sourceTar =
    source && isNamed ? await findSourceImage(source, target, metadata, readImages) : undefined
  if (!sourceTar) checkMetadataWanted(target, metadata, options)
  return sourceTar
}

function findings(
  { read, digest }: ReadInputs,
  metadata: ArchiveMetadata | undefined,
): Pick<Result, 'tarBytes' | 'md5'> {
  const { contentMd5, sizeBytes } = read.tar
  const expected = digest ? engineMd5(read, digest) : metadata?.tar.contentMd5
  const md5 = contentMd5 === undefined ? undefined : { expected, archive: contentMd5 }
  return { tarBytes: sizeBytes, md5 }
}

/**
 * @returns notes on what was compared
 * @throws MISMATCH and what else shows that the archive is not what it should be
 */
async function judge(
  target: Target,
  { metadata, listed }: DeliveredArchive,
  { read, digest }: ReadInputs,
  { decompressors, options }: Context,
): Promise<string[]> {
  if (metadata) checkAgainstMetadata(read, metadata)
  else checkNamed(target, read)
  checkListed(read.archive.sha256, listed)
  return [
    ...compareImages(read, digest, metadata),
    ...uncompared(read),
    ...(await verifyExternal(target, metadata, decompressors, options)),
  ]
}

// Only layers in this archive count: external ones are in earlier archives.
function uncompared({ images, tar }: ReadArchive): string[] {
  return uncomparedNote(countUncompared(images, tar))
}

function severalImages({ label }: Target): ToolError {
  const why = 'it holds several images, which are not compared with those of the engine'
  return new ToolError('NO_IMAGE', `verify "${label}": ${why}`, {
    hint: 'leave out --against engine to check what archive and metadata allow',
  })
}

function checkMetadataWanted(
  target: Target,
  metadata: ArchiveMetadata | undefined,
  { against }: Given,
): void {
  if (against === 'engine') {
    if (metadata && metadata.images.length > 1) throw severalImages(target)
    throw new ToolError('NO_IMAGE', `verify "${target.label}": the engine has no such image`, {
      hint: 'pull or load it first, or check against the metadata: --against record',
    })
  }
  if (against === 'record' && !metadata) {
    throw new ToolError('NO_RECORD', `verify "${target.label}": no metadata beside it`, {
      hint: 'leave out --against to check what can be verified by the archive alone',
    })
  }
}
