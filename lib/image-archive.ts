// One image of the engine into its archive, unless it is there already.
import { join } from 'node:path'

import { archiveName } from './archive-name.ts'
import type { ArchiveRecord, RecordedImage } from './archive-record.ts'
import { writeArchive } from './archive-writer.ts'
import { isUpToDate, listChecksums, readRecord } from './carry-directory.ts'
import type { Compressor } from './compressor.ts'
import { readImages } from './docker-archive.ts'
import type { EngineImage } from './engine-image.ts'
import { startSave, type Engine } from './engine.ts'
import { ToolError } from './errors.ts'
import { checkSpace } from './free-space.ts'
import { nameForSave } from './image-pull.ts'
import type { ImageReference } from './image-reference.ts'
import type { Result, VerbContext } from './outcome.ts'
import { isSameImage } from './same-image.ts'
import type { TarDigest } from './tar-digest.ts'

/** What {@link saveImage} works with. */
export interface ArchiveTools {
  readonly engine: Engine
  readonly compressor: Compressor
}

/** How an image is to be archived. */
export interface ImageArchiveOptions extends VerbContext {
  /** The carry directory. */
  readonly dir: string
  /** Compression level, 0 to 9. */
  readonly level: number
  /** How many processors to use; all without it. */
  readonly threads: number | undefined
  /** `os/architecture[/variant]` to pull and to save. */
  readonly platform: string | undefined
  /** Whether to make it again where it is up to date. */
  readonly force: boolean
}

/**
 * @param image - the engine's image of that reference
 * @returns `saved`, or `up to date`
 * @throws NO_SPACE, WRONG_PLATFORM, BAD_IMAGE, ENGINE_FAILED, COMPRESSOR_FAILED, NOT_WRITABLE, INTERRUPTED
 */
export async function saveImage(
  reference: ImageReference,
  image: EngineImage,
  tools: ArchiveTools,
  options: ImageArchiveOptions,
): Promise<Result> {
  const archive = join(options.dir, archiveName(reference))
  const record = await readOldRecord(archive, options)
  checkSameReference(archive, record, reference, options)
  if (record && (await isArchived(archive, record, image, options))) {
    await listChecksums(archive, record)
    return { result: 'up to date', ...archiveSizes(record) }
  }
  checkSamePlatform(archive, record, image, options)
  await checkSpace(options.dir, image.sizeBytes, options.notify)
  options.notify({ type: 'step', text: `Saving ${archiveName(reference)}...` })
  const written = await write(reference, image, archive, tools, options)
  const notes = reference.tag === undefined ? [untagged(written)] : []
  return { result: 'saved', ...archiveSizes(written), notes }
}

/** @returns whether an archive with this record holds just this image, and is as was asked for. */
export async function isArchived(
  archive: string,
  record: ArchiveRecord,
  image: EngineImage,
  options: ImageArchiveOptions,
): Promise<boolean> {
  const [recorded] = record.images
  const isSame = recorded?.imageId === image.id && recorded.platform === image.platform
  return isSame && isUpToDate(archive, record, options)
}

/** @returns the sizes that an outcome tells. */
export function archiveSizes(record: ArchiveRecord): { tarBytes: number; archiveBytes: number } {
  return { tarBytes: record.tar.sizeBytes, archiveBytes: record.archive.sizeBytes }
}

// Which of the two depends on where it is loaded.
function untagged({ images: [image] }: ArchiveRecord): string {
  const ids = [image?.configDigest, ...(image?.manifestDigests.slice(0, 1) ?? [])]
  return `it has no tag: it loads by its ID only, ${ids.join(' or, in a containerd store, ')}`
}

async function readOldRecord(
  archive: string,
  { notify }: ImageArchiveOptions,
): Promise<ArchiveRecord | undefined> {
  try {
    return await readRecord(archive)
  } catch (error) {
    if (!(error instanceof ToolError)) throw error
    notify({ type: 'warning', text: `${error.message}; it is made again` })
    return undefined
  }
}

// `a/b:1` and `a_b:1` have one archive name, and may come in different runs.
function checkSameReference(
  archive: string,
  record: ArchiveRecord | undefined,
  reference: ImageReference,
  options: ImageArchiveOptions,
): void {
  const old = record?.images[0]?.reference
  if (options.force || old === undefined || old === reference.text) return
  throw new ToolError('NAME_CLASH', `write "${archive}": it holds "${old}"`, {
    hint: 'save them to different directories with --dir, or use --force to replace it',
  })
}

// One name, two platforms: the second would silently take the first one's place.
function checkSamePlatform(
  archive: string,
  record: ArchiveRecord | undefined,
  image: EngineImage,
  options: ImageArchiveOptions,
): void {
  const old = record?.images[0]?.platform
  if (options.force || old === undefined || old === image.platform) return
  throw new ToolError(
    'WRONG_PLATFORM',
    `write "${archive}": it holds the image for ${old}, got ${image.platform}`,
    { hint: 'use one --dir for each platform, or --force to replace it' },
  )
}

async function write(
  reference: ImageReference,
  image: EngineImage,
  archive: string,
  { engine, compressor }: ArchiveTools,
  options: ImageArchiveOptions,
): Promise<ArchiveRecord> {
  const { level, threads, signal, notify } = options
  const name = await nameForSave(engine, reference, options)
  const total = image.sizeBytes
  return writeArchive({
    archive,
    open: () => {
      const child = startSave(engine, name, image.platform)
      return { tar: child.stdout, child }
    },
    constant: true,
    describe: (tar) => [describe(tar, reference, image, engine)],
    compressor,
    level,
    threads,
    signal,
    onProgress: (progress) => {
      const share = total > 0 ? Math.min(1, progress.tarBytes / total) : undefined
      notify({
        type: 'progress',
        label: reference.text,
        ...progress,
        ...(share !== undefined && { share }),
      })
    },
  })
}

// What was saved must be what was looked at before: somebody may have pulled
// another image under this name meanwhile.
function describe(
  tar: TarDigest,
  reference: ImageReference,
  own: EngineImage,
  engine: Engine,
): RecordedImage {
  const [image, another] = readImages(tar)
  if (!image || another || !isSameImage(engine, own, image)) {
    const got = image?.configDigest ?? 'no image'
    throw new ToolError('BAD_IMAGE', `save "${reference.text}": got ${got}, want ${own.id}`, {
      hint: 'it was changed while it was being saved: run it again',
    })
  }
  return { ...image, reference: reference.text, imageId: own.id }
}
