// What the engine has of the images of an archive, by their tags: before a load
// it tells what need not be loaded, after it that it is there.
import { ToolError } from '../../core/errors.ts'
import { inspectImage, tagImage, type Engine } from '../../engine/engine.ts'
import type { ComparedImage } from '../../engine/image-store.ts'
import type { EngineImage } from '../../engine/inspect.ts'
import { findExisting, isSameImage, type ReadImages } from '../../engine/match.ts'
import { imageChains, type ExistingLayers } from '../../engine/existing-layers.ts'
import { checkUnpacked, isUnpacked } from '../../engine/unpacked.ts'
import type { ArchivedImage } from '../../image/docker-archive.ts'

/** An image of metadata, and what its tags mean in the engine so far. */
export interface ExistingImage {
  readonly image: ComparedImage
  readonly own: ReadonlyMap<string, EngineImage>
}

/** @returns the images of metadata, with what their tags mean now. */
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

/** @returns whether no image of the one kind is one of the other, or has its tag. */
export function areIndependent(
  images: readonly ArchivedImage[],
  others: readonly ArchivedImage[],
): boolean {
  return new Set(images.flatMap(namesOf)).isDisjointFrom(new Set(others.flatMap(namesOf)))
}

function namesOf({ config, repoTags }: ArchivedImage): string[] {
  return [config.digest, ...repoTags]
}

/** @returns a note for each platform that the engine's machine is not. */
export function notePlatform(
  { platform: own = LOCAL_PLATFORM }: Engine,
  images: readonly ArchivedImage[],
): string[] {
  const other = images.map(({ platform }) => platform).filter((platform) => platform !== '')
  return [...new Set(other)]
    .filter((platform) => !`${platform}/`.startsWith(`${own}/`))
    .map((platform) => `it is for ${platform}, this machine is ${own}`)
}

// podman and nerdctl, which do not tell, run on this machine.
const LOCAL_PLATFORM = `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`

/** What {@link tagLoaded} needs. */
export interface TagOptions {
  /** The engine's layers. */
  readonly existing: ExistingLayers
  readonly dryRun: boolean
  /** Reads the images of the archive. */
  readonly readImages: ReadImages
  /** Checks that the archive holds the images that are looked for. */
  readonly verify: () => Promise<unknown>
  /** Awaited before a tag is set. */
  readonly wait?: () => Promise<void>
}

/**
 * An image that is there under its ID but lacks its tag only gets the tag.
 *
 * @returns what the tags meant before; undefined if an image is not there, or
 *   cannot run: then it is to be loaded
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
  // Where one of them were missing, the archive would be loaded, which may fail.
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

// It spares a question for the image itself.
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
 * @param known - what its tags meant before it was loaded
 * @param readImages - reads the images of the archive
 * @returns what there is to tell: a tag that meant another image before, an image without one
 * @throws MISMATCH where the engine has another image, or none; how it failed to lay it out
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
