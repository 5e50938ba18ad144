// Looks up the images of an archive in the engine by their tags: before a load, to find what is
// already loaded; after it, to check the result.
import { ToolError } from '../../core/errors.ts'
import { inspectImage, tagImage, type Engine } from '../../engine/engine.ts'
import type { ComparedImage } from '../../engine/image-store.ts'
import type { EngineImage } from '../../engine/inspect.ts'
import { findExisting, isSameImage, type ReadImages } from '../../engine/match.ts'
import { imageChains, type ExistingLayers } from '../../engine/existing-layers.ts'
import { checkUnpacked, isUnpacked } from '../../engine/unpacked.ts'
import type { ArchivedImage } from '../../image/docker-archive.ts'

/** An image in metadata, and the engine's images that have its tags. */
export interface ExistingImage {
  readonly image: ComparedImage
  readonly own: ReadonlyMap<string, EngineImage>
}

/** @returns the images, each with the engine's images that now have its tags */
export async function lookUpImages(
  engine: Engine,
  images: readonly ComparedImage[],
): Promise<ExistingImage[]> {
  const known: ExistingImage[] = []
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

/** @returns whether the two lists have no image and no tag in common */
export function areIndependent(
  images: readonly ArchivedImage[],
  others: readonly ArchivedImage[],
): boolean {
  return new Set(images.flatMap(namesOf)).isDisjointFrom(new Set(others.flatMap(namesOf)))
}

function namesOf({ config, repoTags }: ArchivedImage): string[] {
  return [config.digest, ...repoTags]
}

/** @returns a note for each platform that is not the platform of the engine's host */
export function notePlatform(
  { platform: own = LOCAL_PLATFORM }: Engine,
  images: readonly ArchivedImage[],
): string[] {
  const other = images.map(({ platform }) => platform).filter((platform) => platform !== '')
  return [...new Set(other)]
    .filter((platform) => !`${platform}/`.startsWith(`${own}/`))
    .map((platform) => `it is for ${platform}, this machine is ${own}`)
}

// The platform for podman and nerdctl, which do not show theirs and run on this host.
const LOCAL_PLATFORM = `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`

/** Options of {@link tagLoaded}. */
export interface TagOptions {
  /** The layers of the engine. */
  readonly existing: ExistingLayers
  readonly dryRun: boolean
  /** Reads the images of the archive. */
  readonly readImages: ReadImages
  /** Checks that the archive holds the images of its metadata. */
  readonly verify: () => Promise<unknown>
  /** Is called before tags are set; they are set after it resolves. */
  readonly wait?: () => Promise<void>
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
): Promise<EngineImage | undefined> {
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

function wasBefore(tag: string, before: EngineImage | undefined): string[] {
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
  let loaded: EngineImage | undefined
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
  own: EngineImage,
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
