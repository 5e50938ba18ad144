// Looks up the images of an archive in the engine by their tags: before a load, to find what is
// already loaded; after it, to check the result.
import { ToolError } from '../core/errors.ts'
import type { ArchivedImage } from '../image/docker-archive.ts'
import type { ExistingImage, TagOptions as SinkTagOptions } from '../image/sink.ts'
import type { ComparedImage, ReadImages, StoredImage } from '../image/source.ts'
import { inspectImage, tagImage, type Engine } from './engine.ts'
import { imageChains, type ExistingLayers } from './existing-layers.ts'
import { findExisting, isSameImage } from './match.ts'
import { checkUnpacked, isUnpacked } from './unpacked.ts'

/** @returns the images, each with the engine's images that now have its tags */
export async function lookUpImages(
  engine: Engine,
  images: readonly ComparedImage[],
): Promise<ExistingImage[]> {
  const known: ExistingImage[] = []
  for (const image of images) {
    const own = new Map<string, StoredImage>()
    for (const tag of image.repoTags) {
      const found = await inspectImage(engine, tag, image.platform)
      if (found) own.set(tag, found)
    }
    known.push({ image, own })
  }
  return known
}

/** Options of {@link tagLoaded}. */
export interface TagOptions extends SinkTagOptions {
  /** The layers of the engine. */
  readonly existing: ExistingLayers
}

/**
 * Sets the missing tags, if the engine already has all images of an archive.
 *
 * @returns notes on what the tags meant before, or in a dry run on the tags that would be set;
 *   undefined if an image is missing or cannot run: then the archive has to be loaded
 */
export async function tagLoaded(
  engine: Engine,
  known: readonly ExistingImage[],
  options: TagOptions,
): Promise<string[] | undefined> {
  const { dryRun, verify, wait } = options
  const notes: string[] = []
  const toTag: { readonly id: string; readonly tag: string }[] = []
  for (const { image, own } of known) {
    const same: string[] = []
    for (const [tag, found] of own) {
      if (await isSameImage(engine, found, image, options.readImages)) same.push(tag)
    }
    const there = own.get(same[0] ?? '') ?? (await findUntagged(engine, image, options))
    if (!there || !(await isUnpacked(engine, there, nameOf(image), dryRun))) return undefined
    const missing = image.repoTags.filter((tag) => !same.includes(tag))
    notes.push(...missing.flatMap((tag) => wasBefore(tag, own.get(tag))))
    toTag.push(...missing.map((tag) => ({ id: there.id, tag })))
  }
  await verify()
  if (dryRun) return toTag.map(({ tag }) => `${tag} would be set`)
  // Tags are set only after all images were found: otherwise the archive is loaded, which may
  // fail.
  if (toTag.length > 0) await wait?.()
  for (const { id, tag } of toTag) await tagImage(engine, id, tag)
  return notes
}

function nameOf({ repoTags, config }: ArchivedImage): string {
  return repoTags[0] ?? config.digest
}

async function findUntagged(
  engine: Engine,
  image: ComparedImage,
  { existing, readImages }: TagOptions,
): Promise<StoredImage | undefined> {
  if (await lacksLayers(engine, image, existing)) return undefined
  return findExisting(engine, image, readImages)
}

// A cheap check, before the engine is asked for the image itself.
async function lacksLayers(
  engine: Engine,
  image: ArchivedImage,
  existing: ExistingLayers,
): Promise<boolean> {
  if (!engine.store.takesPartialTar) return false
  return !new Set(imageChains([image])).isSubsetOf(await existing.list())
}

function wasBefore(tag: string, before: StoredImage | undefined): string[] {
  return before ? [`${tag} was ${before.id} before`] : []
}

/**
 * @param known - what the tags meant before the load
 * @param readImages - reads the images of the archive
 * @returns notes: on a tag that meant another image before, or an image without a tag
 * @throws MISMATCH if the engine has another image, or none; the engine's error if it could not
 *   unpack it
 */
export async function checkLoaded(
  engine: Engine,
  image: ComparedImage,
  known: readonly ExistingImage[],
  readImages: ReadImages,
): Promise<string[]> {
  const notes: string[] = []
  let loaded: StoredImage | undefined
  if (image.repoTags.length === 0) {
    loaded = await findExisting(engine, image, readImages)
    if (!loaded) throw notThere(image.config.digest)
    notes.push(`it has no tag: use it by its ID, ${loaded.id}`)
  }
  for (const name of image.repoTags) {
    const own = await inspectImage(engine, name, image.platform)
    if (!own) throw notThere(name)
    if (engine.store.isOther(own, image)) throw otherImage(engine, name, own, image)
    if (engine.name === 'docker' && !(await isSameImage(engine, own, image, readImages))) {
      notes.push(`the engine tells other settings of ${name} than the archive has`)
    }
    const before = known.findLast((each) => each.own.has(name))?.own.get(name)
    if (before?.id !== own.id) notes.push(...wasBefore(name, before))
    loaded ??= own
  }
  if (loaded) notes.push(...(await checkUnpacked(engine, loaded, nameOf(image))))
  return notes
}

function otherImage(
  engine: Engine,
  name: string,
  own: StoredImage,
  image: ComparedImage,
): ToolError {
  const { what, got, want } = engine.store.difference(own, image)
  const differs = `${what} of "${name}" as loaded: got ${got}, want ${want}`
  return new ToolError('MISMATCH', `check ${differs}`, {
    hint: 'it was changed meanwhile, or another archive has that tag too: load it again',
  })
}

function notThere(name: string): ToolError {
  return new ToolError('MISMATCH', `load "${name}": the engine does not have it after the load`)
}
