// Saves the images of a run into archives. While one image is compressed, the next one is
// pulled.
import type { CompressionChoice } from '../../codec/options.ts'
import { findCompressors } from '../../codec/programs.ts'
import { ToolError, toToolError } from '../../core/errors.ts'
import { formatBytes } from '../../core/format.ts'
import { toOutcome, type Outcome, type Result, type RunContext } from '../../core/outcome.ts'
import { noteLeftOut, placeList } from '../../delivery/delivered-list.ts'
import { checkDirectory, openCatalogs, Directory } from '../../delivery/directory.ts'
import { checkSpace } from '../../delivery/free-space.ts'
import { checkIndexed } from '../../delivery/layer-sources.ts'
import { archiveName } from '../../delivery/name.ts'
import type { EngineName } from '../../engine/engine.ts'
import { openEngineSource } from '../../engine/source.ts'
import { pullName, type ImageReference } from '../../image/reference.ts'
import type { StoredImage } from '../../image/source.ts'
import { archiveSizes } from '../sizes.ts'
import { findReferences, type TargetOptions } from '../targets.ts'
import { openForWriting } from '../writing-run.ts'
import { beginTar, type BegunTar } from './begun-tar.ts'
import { bytesToSave } from './cached-layers.ts'
import {
  checkReplaced,
  findArchived,
  type ImageArchiveOptions,
  type LayerOptions,
  type SourceImage,
} from './existing-archive.ts'
import { saveImage, type ArchiveTools } from './save-image.ts'

/** Where images come from, and how. */
export interface FetchingOptions {
  readonly engine: EngineName | undefined
  /** `os/architecture[/variant]` to pull and to save. */
  readonly platform: string | undefined
  /** Whether to pull; otherwise the engine's own images are used. */
  readonly pull: boolean
  /** Whether the engine may draw its progress on the terminal. */
  readonly drawProgress: boolean
}

/** Options of {@link save}. */
export interface SaveOptions extends TargetOptions {
  /** The delivery. */
  readonly dir: string
  readonly fetching: FetchingOptions
  readonly compression: CompressionChoice
  readonly layers: LayerOptions<string>
  /** Whether to make whole archives again, even if they are up to date. */
  readonly force: boolean
  readonly dryRun: boolean
}

interface Context extends ArchiveTools {
  readonly options: ImageArchiveOptions
  readonly fetching: FetchingOptions
  /**
   * The first image, and those whose archives were up to date when the run began, by name: the
   * source is not asked for them again.
   */
  readonly known?: ReadonlyMap<string, StoredImage>
}

/**
 * @returns one outcome for each image, in the order of the list
 * @throws before anything is pulled: BAD_LIST, BAD_REFERENCE, NAME_CLASH, NO_DIRECTORY,
 *   NOT_WRITABLE, BUSY, NO_ENGINE, ENGINE_DOWN, ENGINE_DENIED, ENGINE_FAILED, NO_COMPRESSOR,
 *   NO_SPACE; at any time INTERRUPTED
 */
export async function* save(options: SaveOptions, context: RunContext): AsyncGenerator<Outcome> {
  const { dir, fetching, layers, dryRun } = options
  checkPlatformName(fetching.platform)
  const { references, list } = await findReferences(options)
  for (const each of [dir, ...layers.reuse, ...layers.since]) await checkDirectory(each)
  const [source, compressors] = await Promise.all([
    openEngineSource(fetching.engine, context.signal),
    findCompressors({ ...context, ...options.compression }),
  ])
  const opened = await openAll(options, context)
  const { directory } = opened
  const tools = { source, ...compressors, fetching, options: opened }
  if (dryRun) {
    for (const reference of references) yield await planOne(reference, tools)
    return
  }
  const close = await openForWriting(directory, 'save_compressed_tars', context)
  try {
    const known = await checkSpaceForAll(references, tools)
    let isAnyDone = false
    for await (const outcome of saveAll(references, { ...tools, known })) {
      isAnyDone ||= outcome.result !== 'failed'
      yield outcome
    }
    if (isAnyDone) await finishList(list, directory, context)
  } finally {
    await close()
  }
}

async function openAll(
  { dir, compression: { coding }, layers, force }: SaveOptions,
  context: RunContext,
): Promise<ImageArchiveOptions> {
  const directory = new Directory(dir)
  const others = await openCatalogs([...layers.reuse, ...layers.since], directory)
  const reuse = others.slice(0, layers.reuse.length)
  const since = others.slice(layers.reuse.length)
  // Layers in unusable metadata are compressed, or delivered, again.
  const warn = (text: string): void => context.notify({ type: 'warning', text })
  await checkIndexed({ force, reuse }, warn)
  for (const each of since) for await (const _ of each.all(warn));
  return { ...context, directory, coding, force, layers: { ...layers, reuse, since } }
}

// The list goes into the delivery, so that a load takes exactly these images.
async function finishList(
  list: Buffer | undefined,
  directory: Directory,
  { notify }: RunContext,
): Promise<void> {
  const text = (list && (await placeList(directory, list))) ?? (await noteLeftOut(directory))
  if (text !== undefined) notify({ type: 'warning', text })
}

function checkPlatformName(platform: string | undefined): void {
  if (platform === undefined || /^[a-z0-9]+\/[a-z0-9_]+(\/[a-z0-9]+)?$/.test(platform)) return
  throw new ToolError('USAGE', `--platform: got "${platform}", want OS/ARCH[/VARIANT]`, {
    hint: 'for instance linux/arm64',
  })
}

async function* saveAll(
  references: readonly ImageReference[],
  context: Context,
): AsyncGenerator<Outcome> {
  let next: Promise<StoredImage> | undefined
  let begun: Promise<BegunTar | undefined> | undefined
  try {
    for (const [index, reference] of references.entries()) {
      const image = next ?? fetchImage(reference, context, true)
      await image.catch(() => {})
      const following = references[index + 1]
      next = following && fetchImage(following, context, false)
      next?.catch(() => {})
      const tar = await begun
      begun = undefined
      const onRead = (): void => {
        if (following && next) begun ??= beginNext(following, next, context)
      }
      yield await saveOne(reference, image, { ...context, tar, onRead })
    }
  } finally {
    await (await begun)?.end()
  }
}

async function saveOne(
  reference: ImageReference,
  image: Promise<StoredImage>,
  context: Context & { readonly tar: BegunTar | undefined },
): Promise<Outcome> {
  const { options, tar } = context
  try {
    return await toOutcome(
      reference.text,
      archiveName(reference, options.coding.codec),
      options,
      async () => saveImage(reference, await image, context, options),
    )
  } finally {
    await tar?.end()
  }
}

// While the end of one image is compressed, the engine prepares the next one. An error is
// ignored here, because it comes again when it is that image's turn. An image by digest does
// not begin early: its save may move a tag, which has to be reported in its turn.
async function beginNext(
  reference: ImageReference,
  image: Promise<StoredImage>,
  { source, options }: Context,
): Promise<BegunTar | undefined> {
  if (reference.digest !== undefined || options.layers.recompress) return undefined
  try {
    const own = await image
    if (await findArchived(reference, { image: own, source }, options)) return undefined
    return beginTar(await source.open(reference, own, { ...options, ...options.layers }))
  } catch {
    return undefined
  }
}

async function fetchImage(
  reference: ImageReference,
  { source, options, fetching, known }: Context,
  isFirst: boolean,
): Promise<StoredImage> {
  const { platform, pull } = fetching
  if (!pull) return source.find(reference, platform, known?.get(pullName(reference)))
  options.notify({ type: 'step', text: `Pulling ${reference.text}...` })
  // Later images are pulled while a progress line is shown, and two programs cannot draw at
  // once.
  const drawProgress = fetching.drawProgress && isFirst
  return source.fetch(reference, { ...options, platform, drawProgress })
}

// @returns the images that need not be resolved again, by name: those whose archives are up to
// date, and the first, whose turn comes next. If it changes meanwhile, its save says so.
async function checkSpaceForAll(
  references: readonly ImageReference[],
  { source, options, fetching }: Context,
): Promise<ReadonlyMap<string, StoredImage>> {
  const images = await source.resolve(references.map(pullName), fetching.platform)
  const known = new Map<string, StoredImage>()
  let imageBytes = 0
  for (const [index, reference] of references.entries()) {
    const name = pullName(reference)
    const image = images.get(name)
    if (!image) continue
    const isFinished = await isDone(reference, { image, source }, options)
    if (isFinished || index === 0) known.set(name, image)
    if (!isFinished) imageBytes += await bytesToSave(reference, image, options)
  }
  await checkSpace(options.directory.dir, imageBytes, options.notify)
  return known
}

// An image that cannot be examined is reported when it is its turn.
async function isDone(
  reference: ImageReference,
  stored: SourceImage,
  options: ImageArchiveOptions,
): Promise<boolean> {
  try {
    return (await findArchived(reference, stored, options)) !== undefined
  } catch (error) {
    if (!toToolError(error)) throw error
    return true
  }
}

async function planOne(reference: ImageReference, context: Context): Promise<Outcome> {
  const { source, options, fetching } = context
  const { platform, pull } = fetching
  const name = archiveName(reference, options.coding.codec)
  return toOutcome(reference.text, name, options, async (): Promise<Result> => {
    const image = pull
      ? (await source.resolve([pullName(reference)], platform)).get(pullName(reference))
      : await source.find(reference, platform)
    if (!image) {
      return { result: 'would be saved', notes: ['its size is known once it is pulled'] }
    }
    const archived = await findArchived(reference, { image, source }, options)
    if (archived) return { result: 'up to date', ...archiveSizes(archived.metadata) }
    await checkReplaced(reference, image, options)
    const tarBytes = await bytesToSave(reference, image, options)
    return {
      result: 'would be saved',
      tarBytes,
      notes: [`about ${formatBytes(tarBytes)} of image`],
    }
  })
}
