// Loads one archive into the sink. The metadata decides how: only the layers that the engine
// lacks; or the whole tar directly from the decompressor, if it is needed whole; or, without
// metadata that describes segments, the whole tar with every byte checked on its way.
import { assembleTar } from '../../archive/assembler.ts'
import type { ReadBetween } from '../../archive/between-layers.ts'
import { checkAgainstMetadata, checkListed, checkNotIncrement } from '../../archive/check.ts'
import type { ReadProgress, ReadingOptions } from '../../archive/pipeline.ts'
import { readArchive, type ReadArchive } from '../../archive/reader.ts'
import type { Decompressors } from '../../codec/programs.ts'
import { ToolError, interrupted } from '../../core/errors.ts'
import type { VerbContext } from '../../core/outcome.ts'
import { expectEqual } from '../../delivery/expect-equal.ts'
import type { LoadPlan } from '../../delivery/layer-plan.ts'
import type { ArchiveMetadata, SavedImage } from '../../delivery/metadata.ts'
import type { ArchivedImage } from '../../image/docker-archive.ts'
import type { Acceptance, ImageSink, SocketSink } from '../../image/sink.ts'
import type { DeliveredArchive } from '../delivered-archive.ts'
import { sum } from '../sizes.ts'
import type { Target } from '../targets.ts'
import { planArchive, planWhole, type PlanOptions } from './plan.ts'
import type { LoadTurn } from './queue.ts'
import { sendArchive } from './send-archive.ts'

/** What a load works with. */
export interface LoadTools {
  readonly sink: ImageSink
  readonly decompressors: Decompressors
  readonly options: VerbContext & PlanOptions & { readonly threads: number | undefined }
  /** Says when the sink may get the end of a tar; if undefined, it may at once. */
  readonly turn?: LoadTurn
}

/** What was loaded. */
export interface LoadedArchive {
  readonly images: readonly (ArchivedImage | SavedImage)[]
  readonly tarBytes: number
  /** The size of the layers that the engine had, in bytes of tar. */
  readonly skippedBytes: number
}

/** What to load. */
export interface LoadInput {
  readonly target: Target
  readonly delivered: DeliveredArchive
  /** Reads what is between the layers; undefined for an archive without metadata. */
  readonly readBetween: ReadBetween | undefined
  /**
   * Is called before the engine gets the end of an archive without metadata; throws to refuse
   * it.
   */
  readonly checkUnknown: (images: readonly ArchivedImage[]) => Promise<void>
}

/**
 * @returns what the engine loaded
 * @throws MISMATCH if the engine loaded something else; MISMATCH, BAD_ARCHIVE, BAD_TAR,
 *   BAD_IMAGE or MISSING_LAYER before the engine gets the end of the tar: then it loads nothing
 */
export async function loadArchive(input: LoadInput, tools: LoadTools): Promise<LoadedArchive> {
  const { target, delivered, readBetween } = input
  const { metadata } = delivered
  const isCut = metadata?.segments.some(({ layerDigest }) => layerDigest !== undefined)
  if (metadata && readBetween && (isCut || metadata.requires)) {
    return loadSegments(input, { metadata, readBetween }, tools)
  }
  if (!metadata) checkNotIncrement('load', target.archive)
  const read = await loadWhole(input, tools)
  return { images: read.images, tarBytes: read.tar.sizeBytes, skippedBytes: 0 }
}

interface WithMetadata {
  readonly metadata: ArchiveMetadata
  readonly readBetween: ReadBetween
}

async function loadSegments(
  input: LoadInput,
  saved: WithMetadata,
  tools: LoadTools,
): Promise<LoadedArchive> {
  const { options, sink, turn } = tools
  const { metadata } = saved
  const { target, delivered } = input
  const sendPlanned = async (plan: LoadPlan): Promise<void> => {
    // If SHA256SUMS does not list the archive, its metadata may describe another tar: then
    // every byte is checked.
    const isWhole = plan.excluded.size + plan.restored.length === 0 && !metadata.requires
    if (isWhole && delivered.listed === undefined) await loadWhole(input, tools)
    else await send(target, saved, plan, tools)
  }
  const planned = await planArchive(target, metadata, { ...tools, before: turn?.before ?? [] })
  const tarBytes = metadata.tar.sizeBytes + sum(metadata.requires ?? [])
  const loaded = { images: metadata.images, tarBytes }
  try {
    await sendPlanned(planned)
    return { ...loaded, skippedBytes: planned.skippedBytes }
  } catch (error) {
    if (planned.skippedBytes === 0 || !isEngineFailure(error)) throw error
    sink.forget()
    await turn?.wait()
    options.notify({
      type: 'warning',
      text: `${error.message}; it is loaded again with the layers that the engine had`,
    })
  }
  await sendPlanned(await planWhole(target, metadata, options))
  return { ...loaded, skippedBytes: 0 }
}

// Somebody may have removed an image after the engine listed its layers.
function isEngineFailure(error: unknown): error is ToolError {
  return error instanceof ToolError && ['ENGINE_FAILED', 'NO_IMAGE'].includes(error.code)
}

// The most bytes after the end of a tar that go to the engine: tar programs pad their last
// record with that many, and a pipe holds them if the engine does not read them.
const MAX_TRAILING_BYTES = 16 * 1024

async function send(
  target: Target,
  saved: WithMetadata,
  plan: LoadPlan,
  tools: LoadTools,
): Promise<void> {
  const { metadata } = saved
  const direct = await acceptWhole(target, saved, plan, tools.sink)
  if (direct) await sendWhole(target, metadata, direct, tools)
  else await sendParts(target, metadata, plan, tools)
}

/** @returns what takes all of an archive as the decoder gives it, if it may */
async function acceptWhole(
  { label }: Target,
  { metadata, readBetween }: WithMetadata,
  { excluded, restored }: LoadPlan,
  sink: ImageSink,
): Promise<Acceptance<SocketSink> | undefined> {
  if (excluded.size > 0 || restored.length > 0) return undefined
  const accepting = sink.acceptDirectly(label, metadata.tar.sizeBytes)
  // This also shows whether the metadata belongs to this archive.
  const [{ tar }, direct] = await Promise.all([readBetween(), accepting])
  expectEqual('size of the tar', tar.sizeBytes, metadata.tar.sizeBytes)
  // An engine may be gone when it has the end, and what comes then fails.
  return tar.sizeBytes - tar.endBytes > MAX_TRAILING_BYTES ? undefined : direct
}

// Every byte of the tar goes by, and is looked at.
async function sendParts(
  target: Target,
  metadata: ArchiveMetadata,
  { excluded, restored }: LoadPlan,
  tools: LoadTools,
): Promise<void> {
  const { archive, label } = target
  const accepted = tools.sink.accept(label)
  const release = (): Promise<void> => waitForTurn(metadata, tools)
  const assembly = { archive, metadata, excluded, restored }
  await assembleTar(assembly, { ...readingOptions(label, tools), release }, accepted.tar)
  accepted.check(metadata.images)
}

async function sendWhole(
  { archive, label }: Target,
  metadata: ArchiveMetadata,
  accepted: Acceptance<SocketSink>,
  tools: LoadTools,
): Promise<void> {
  const { sizeBytes: tarBytes } = metadata.tar
  const verify = async (got: { sizeBytes: number; sha256: string }): Promise<void> => {
    expectEqual('size of the archive', got.sizeBytes, metadata.archive.sizeBytes)
    expectEqual('sha256 of the archive', got.sha256, metadata.archive.sha256)
    await waitForTurn(metadata, tools)
  }
  const options = readingOptions(label, tools)
  const onProgress = (progress: ReadProgress): void =>
    options.onProgress({ ...progress, tarBytes: progress.share * tarBytes })
  await sendArchive({ ...options, onProgress, archive, verify }, accepted.tar)
  accepted.check(metadata.images)
}

async function loadWhole(
  { target: { archive, label }, delivered, checkUnknown }: LoadInput,
  tools: LoadTools,
): Promise<ReadArchive> {
  const { sink, options, turn } = tools
  // Nothing but its end tells what is in it: it cannot be begun ahead.
  await turn?.wait()
  const { metadata, listed } = delivered
  const verify = async (read: ReadArchive): Promise<void> => {
    if (metadata) checkAgainstMetadata(read, metadata)
    checkListed(read.archive.sha256, listed)
    if (read.images.length === 0) throw noImage(label)
    if (!metadata) await checkUnknown(read.images)
  }
  if (!metadata) {
    const text = `"${archive}" has no metadata: internally consistent, origin unverified`
    options.notify({ type: 'warning', text })
  }
  const accepted = sink.accept(label)
  const read = { ...readingOptions(label, tools), archive, metadata, md5: false }
  const loaded = await readArchive(read, { ...accepted.tar, verify })
  accepted.check(loaded.images)
  return loaded
}

/** Before the engine gets the end of a tar. */
async function waitForTurn(
  { images }: ArchiveMetadata,
  { options: { signal }, turn }: LoadTools,
): Promise<void> {
  if (signal.aborted) throw interrupted()
  turn?.onSent(images)
  await turn?.wait()
}

function readingOptions(label: string, { decompressors, options }: LoadTools): ReadingOptions {
  const { threads, signal, notify } = options
  const onProgress = (progress: ReadProgress): void =>
    notify({ type: 'progress', label, ...progress })
  return { decompressors, threads, signal, onProgress }
}

/** @returns the error of an archive that cannot be loaded. */
export function noImage(label: string): ToolError {
  return new ToolError('BAD_IMAGE', `load "${label}": its tar is not a saved image`, {
    hint: 'unpack it with: xz -dc ARCHIVE | tar x (zstd -dc for .tar.zst)',
  })
}
