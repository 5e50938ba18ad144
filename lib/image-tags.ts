// What the engine has of the images of an archive, by their tags: before a load
// it tells what need not be loaded, after it that it is there.
import { same } from './archive-check.ts'
import type { ArchivedImage } from './docker-archive.ts'
import type { EngineImage } from './engine-image.ts'
import { inspectImage, tagImage, takesParts, type Engine } from './engine.ts'
import { ToolError } from './errors.ts'
import { findPresent } from './present-image.ts'
import { imageChains, type PresentLayers } from './present-layers.ts'
import { hasLayers, isOtherImage, isSameImage } from './same-image.ts'

/** An image of a record, and what its tags mean in the engine so far. */
export interface KnownImage {
  readonly image: ArchivedImage
  readonly own: ReadonlyMap<string, EngineImage>
}

/** @returns the images of a record, with what their tags mean now. */
export async function lookUpImages(
  engine: Engine,
  images: readonly ArchivedImage[],
): Promise<KnownImage[]> {
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

/** @returns whether no image of the one kind is one of the other, or has its tag. */
export function areApart(
  images: readonly ArchivedImage[],
  others: readonly ArchivedImage[],
): boolean {
  return new Set(images.flatMap(namesOf)).isDisjointFrom(new Set(others.flatMap(namesOf)))
}

function namesOf({ configDigest, repoTags }: ArchivedImage): string[] {
  return [configDigest, ...repoTags]
}

/**
 * An image that is there under its ID but lacks its tag only gets the tag.
 *
 * @param options - `present`: the engine's layers; `wait`: awaited before that
 * @returns what the tags meant before; undefined where an image is not there
 */
export async function tagLoaded(
  engine: Engine,
  known: readonly KnownImage[],
  options: {
    readonly present: PresentLayers
    readonly dryRun: boolean
    readonly wait?: () => Promise<void>
  },
): Promise<string[] | undefined> {
  const { present, dryRun, wait } = options
  const notes: string[] = []
  const toTag: { readonly id: string; readonly tag: string }[] = []
  for (const { image, own } of known) {
    const missing = image.repoTags.filter((tag) => {
      const found = own.get(tag)
      return !found || !isSameImage(engine, found, image)
    })
    notes.push(...missing.flatMap((tag) => wasBefore(tag, own.get(tag))))
    if (image.repoTags.length > 0 && missing.length === 0) continue
    if (await lacksLayers(engine, image, present)) return undefined
    const there = await findPresent(engine, image)
    if (!there) return undefined
    toTag.push(...missing.map((tag) => ({ id: there.id, tag })))
  }
  if (dryRun) return toTag.map(({ tag }) => `${tag} would be set`)
  // Where one of them were missing, the archive would be loaded, which may fail.
  if (toTag.length > 0) await wait?.()
  for (const { id, tag } of toTag) await tagImage(engine, id, tag)
  return notes
}

// It spares a question for the image itself.
async function lacksLayers(
  engine: Engine,
  image: ArchivedImage,
  present: PresentLayers,
): Promise<boolean> {
  if (!takesParts(engine)) return false
  return !new Set(imageChains([image])).isSubsetOf(await present.list())
}

function wasBefore(tag: string, before: EngineImage | undefined): string[] {
  return before ? [`${tag} was ${before.id} before`] : []
}

/**
 * @param known - what its tags meant before it was loaded
 * @returns what there is to tell: a tag that meant another image before, an image without one
 * @throws MISMATCH where the engine has another image, or none
 */
export async function checkLoaded(
  engine: Engine,
  image: ArchivedImage,
  known: readonly KnownImage[],
): Promise<string[]> {
  const notes: string[] = []
  if (image.repoTags.length === 0) {
    const own = await findPresent(engine, image, (...images) => !isOtherImage(...images))
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
