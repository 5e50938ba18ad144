// Archive → engine. The engine gets the end of a tar only once every byte of
// the archive has been proven.
import { basename, dirname } from 'node:path'

import { checkAgainstRecord, same } from './archive-check.ts'
import { readArchive, type ReadArchive } from './archive-reader.ts'
import type { ArchiveRecord } from './archive-record.ts'
import { checkDirectory, readChecksums, readRecord } from './carry-directory.ts'
import { findCompressor, type Compressor } from './compressor.ts'
import type { ArchivedImage } from './docker-archive.ts'
import {
  findEngine,
  inspectImage,
  startLoad,
  tagImage,
  type Engine,
  type EngineName,
} from './engine.ts'
import { ToolError } from './errors.ts'
import { attempt, type Outcome, type Result, type VerbContext } from './outcome.ts'
import { findPresent } from './present-image.ts'
import { hasLayers, isSameImage } from './same-image.ts'
import { checkExists, findTargets, type Target, type TargetOptions } from './targets.ts'

/** What {@link load} takes. */
export interface LoadOptions extends TargetOptions, VerbContext {
  readonly engine: EngineName | undefined
  readonly threads: number | undefined
  /** Whether to load what the engine has already. */
  readonly force: boolean
  readonly dryRun: boolean
}

interface Context {
  readonly engine: Engine
  readonly compressor: Compressor
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
  const targets = await findTargets(options)
  const [engine, compressor] = await Promise.all([findEngine(options.engine), findCompressor()])
  const context = { engine, compressor, options }
  for (const target of targets) {
    yield await attempt(target.label, basename(target.archive), () => loadTarget(target, context))
  }
}

async function loadTarget(target: Target, context: Context): Promise<Result> {
  const { engine, options } = context
  const archiveBytes = await checkExists(target)
  const record = await readRecord(target.archive)
  if (record?.images.length === 0) throw noImage(target)
  const sizes = { tarBytes: record?.tar.sizeBytes, archiveBytes }
  const images = record?.images ?? []
  const present = options.force || !record ? undefined : await tagLoaded(engine, images, options)
  if (present) return { result: 'already loaded', ...sizes, notes: present }
  if (options.dryRun) return { result: 'would be loaded', ...sizes }
  options.notify({ type: 'step', text: `Loading ${basename(target.archive)}...` })
  const before = await currentIds(engine, images)
  const read = await send(target, archiveBytes, record, context)
  const notes = record ? [] : [unproven(options, target)]
  for (const image of read.images) notes.push(...(await checkLoaded(engine, image, before)))
  return { result: 'loaded', archiveBytes, tarBytes: read.tar.sizeBytes, notes }
}

async function send(
  target: Target,
  archiveBytes: number,
  record: ArchiveRecord | undefined,
  { engine, compressor, options }: Context,
): Promise<ReadArchive> {
  const { archive, label } = target
  const { threads, signal, notify } = options
  const listed = (await readChecksums(dirname(archive))).get(basename(archive))
  const prove = (read: ReadArchive): void => {
    if (record) checkAgainstRecord(read, record)
    if (listed !== undefined) same('sha256 of the archive', read.archive.sha256, listed)
    if (read.images.length === 0) throw noImage(target)
  }
  const onProgress = (progress: { tarBytes: number; archiveBytes: number }): void => {
    notify({ type: 'progress', label, ...progress, share: progress.archiveBytes / archiveBytes })
  }
  const child = startLoad(engine, label)
  const read = { archive, compressor, threads, md5: false, signal, onProgress }
  return readArchive(read, { child, prove })
}

// An image that is there under its ID but lacks its tag only gets the tag.
// Gives what the tags meant before; undefined where an image is not there.
async function tagLoaded(
  engine: Engine,
  images: readonly ArchivedImage[],
  { dryRun }: LoadOptions,
): Promise<string[] | undefined> {
  const notes: string[] = []
  for (const image of images) {
    const missing: string[] = []
    for (const tag of image.repoTags) {
      const own = await inspectImage(engine, tag, image.platform)
      if (own && isSameImage(engine, own, image)) continue
      missing.push(tag)
      if (own) notes.push(`${tag} was ${own.id} before`)
    }
    if (image.repoTags.length > 0 && missing.length === 0) continue
    const present = await findPresent(engine, image)
    if (!present) return undefined
    for (const tag of dryRun ? [] : missing) await tagImage(engine, present.id, tag)
  }
  return notes
}

async function currentIds(
  engine: Engine,
  images: readonly ArchivedImage[],
): Promise<ReadonlyMap<string, string>> {
  const ids = new Map<string, string>()
  for (const { repoTags, platform } of images) {
    for (const tag of repoTags) {
      const own = await inspectImage(engine, tag, platform)
      if (own) ids.set(tag, own.id)
    }
  }
  return ids
}

/** @returns what there is to tell: a tag that meant another image before, an image without one. */
async function checkLoaded(
  engine: Engine,
  image: ArchivedImage,
  before: ReadonlyMap<string, string>,
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
    const old = before.get(name)
    if (old !== undefined && old !== own.id) notes.push(`${name} was ${old} before`)
  }
  return notes
}

function unproven({ notify }: LoadOptions, { archive }: Target): string {
  const text = `"${archive}" has no record: it is whole by its own digests, but not proven to be what was saved`
  notify({ type: 'warning', text })
  return 'it has no record to prove it by'
}

function noImage({ label }: Target): ToolError {
  return new ToolError('BAD_IMAGE', `load "${label}": its tar is no saved image`, {
    hint: 'unpack it with: xz -dc ARCHIVE | tar x',
  })
}

function notThere(name: string): ToolError {
  return new ToolError('MISMATCH', `load "${name}": the engine does not have it after all`)
}
