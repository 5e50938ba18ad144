// Archive → engine. The engine gets the end of a tar only once every byte of
// the archive has been proven.
import { basename } from 'node:path'

import { same } from './archive-check.ts'
import { checkDirectory, readRecord } from './carry-directory.ts'
import { findCompressor } from './compressor.ts'
import type { ArchivedImage } from './docker-archive.ts'
import type { EngineImage } from './engine-image.ts'
import { findEngine, inspectImage, tagImage, type Engine, type EngineName } from './engine.ts'
import { ToolError } from './errors.ts'
import { loadArchive, noImage, planArchive, type LoadTools } from './load-archive.ts'
import { attempt, type Outcome, type Result, type VerbContext } from './outcome.ts'
import { findPresent } from './present-image.ts'
import { hasLayers, isSameImage } from './same-image.ts'
import { checkExists, findTargets, type Target, type TargetOptions } from './targets.ts'

/** What {@link load} takes. */
export interface LoadOptions extends TargetOptions, VerbContext {
  readonly engine: EngineName | undefined
  readonly threads: number | undefined
  /** A directory with more archives to take layers from. */
  readonly base: string | undefined
  /** Whether to load what the engine has already. */
  readonly force: boolean
  readonly dryRun: boolean
}

interface Context extends LoadTools {
  readonly options: LoadOptions
}

/**
 * @returns one outcome for each archive
 * @throws before anything is loaded: BAD_LIST, BAD_REFERENCE, NO_DIRECTORY,
 *   NO_ARCHIVE where there is none, NO_COMPRESSOR, NO_ENGINE, ENGINE_DOWN,
 *   ENGINE_DENIED; and INTERRUPTED
 */
export async function* load(options: LoadOptions): AsyncGenerator<Outcome> {
  await checkDirectory(options.dir)
  if (options.base !== undefined) await checkDirectory(options.base)
  const targets = await findTargets(options)
  const [engine, compressor] = await Promise.all([findEngine(options.engine), findCompressor()])
  const context = { engine, compressor, options }
  // The older image of a name would take the tag from the newer one.
  for (const target of targets.filter(({ isSuperseded }) => !isSuperseded)) {
    yield await attempt(target.label, basename(target.archive), () => loadTarget(target, context))
  }
}

async function loadTarget(target: Target, context: Context): Promise<Result> {
  const { engine, options } = context
  const archiveBytes = await checkExists(target)
  const record = await readRecord(target.archive)
  if (record?.images.length === 0) throw noImage(target.label)
  const sizes = { tarBytes: record?.tar.sizeBytes, archiveBytes }
  const known = await lookUp(engine, record?.images ?? [])
  const present = options.force || !record ? undefined : await tagLoaded(engine, known, options)
  if (present) return { result: 'already loaded', ...sizes, notes: present }
  if (options.dryRun) {
    const plan = record && (await planArchive(target, record, context))
    return { result: 'would be loaded', ...sizes, ...skipped(plan?.skippedBytes) }
  }
  options.notify({ type: 'step', text: `Loading ${basename(target.archive)}...` })
  const loaded = await loadArchive(target, archiveBytes, record, context)
  const notes = record ? [] : ['it has no record to prove it by']
  for (const image of loaded.images) notes.push(...(await checkLoaded(engine, image, known)))
  const { tarBytes, skippedBytes } = loaded
  return { result: 'loaded', archiveBytes, tarBytes, ...skipped(skippedBytes), notes }
}

function skipped(skippedBytes = 0): Pick<Result, 'skippedBytes'> {
  return skippedBytes > 0 ? { skippedBytes } : {}
}

/** An image of a record, and what its tags mean in the engine so far. */
interface KnownImage {
  readonly image: ArchivedImage
  readonly own: ReadonlyMap<string, EngineImage>
}

async function lookUp(engine: Engine, images: readonly ArchivedImage[]): Promise<KnownImage[]> {
  const known: KnownImage[] = []
  for (const image of images) {
    const own = new Map<string, EngineImage>()
    for (const tag of image.repoTags) {
      const found = await inspectImage(engine, tag, image.platform)
      if (found) own.set(tag, found)
    }
    known.push({ image, own })
  }
  return known
}

// An image that is there under its ID but lacks its tag only gets the tag.
// Gives what the tags meant before; undefined where an image is not there.
async function tagLoaded(
  engine: Engine,
  known: readonly KnownImage[],
  { dryRun }: LoadOptions,
): Promise<string[] | undefined> {
  const notes: string[] = []
  for (const { image, own } of known) {
    const missing = image.repoTags.filter((tag) => {
      const found = own.get(tag)
      return !found || !isSameImage(engine, found, image)
    })
    notes.push(...missing.flatMap((tag) => wasBefore(tag, own.get(tag))))
    if (image.repoTags.length > 0 && missing.length === 0) continue
    const present = await findPresent(engine, image)
    if (!present) return undefined
    for (const tag of dryRun ? [] : missing) await tagImage(engine, present.id, tag)
  }
  return notes
}

function wasBefore(tag: string, before: EngineImage | undefined): string[] {
  return before ? [`${tag} was ${before.id} before`] : []
}

/** @returns what there is to tell: a tag that meant another image before, an image without one. */
async function checkLoaded(
  engine: Engine,
  image: ArchivedImage,
  known: readonly KnownImage[],
): Promise<string[]> {
  const notes: string[] = []
  if (image.repoTags.length === 0) {
    const own = await findPresent(engine, image)
    if (!own) throw notThere(image.configDigest)
    notes.push(`it has no tag: use it by its ID, ${own.id}`)
  }
  for (const name of image.repoTags) {
    const own = await inspectImage(engine, name, image.platform)
    if (!own) throw notThere(name)
    if (engine.idIsConfig) same(`ID of "${name}" as loaded`, own.id, image.configDigest)
    if (!hasLayers(image, own.diffIds)) {
      const want = image.layers.map((layer) => layer.diffId).join()
      same(`layers of "${name}" as loaded`, own.diffIds.join(), want)
    }
    const before = known.findLast((each) => each.own.has(name))?.own.get(name)
    if (before?.id !== own.id) notes.push(...wasBefore(name, before))
  }
  return notes
}

function notThere(name: string): ToolError {
  return new ToolError('MISMATCH', `load "${name}": the engine does not have it after all`)
}
