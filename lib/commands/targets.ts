// What a run is about: the images or files that were named, else the list,
// else whatever lies in the delivery.
import { lstat } from 'node:fs/promises'
import { basename, join } from 'node:path'

import {
  LIST_NAME,
  archiveName,
  archiveNames,
  checkNameClashes,
  checkTagClashes,
  incrementName,
  incrementNames,
  isArchiveName,
} from '../delivery/name.ts'
import { CODECS } from '../codec/formats.ts'
import type { Delivery } from '../delivery/delivery.ts'
import { ToolError, isSystemError, ignoreNotFound } from '../core/errors.ts'
import { parseImageList } from '../delivery/image-list.ts'
import { parseReference, type ImageReference } from '../image/reference.ts'
import { noteOffList } from '../delivery/off-list.ts'
import type { VerbContext } from '../core/outcome.ts'
import { MAX_LIST_BYTES, lookAtFile, readSmallFile } from '../io/small-file.ts'

/** Where to look. */
export interface TargetOptions {
  /** Images or archives, as they were named. */
  readonly names: readonly string[]
  /** The list that was asked for. */
  readonly list: string | undefined
  /** The delivery. */
  readonly dir: string
}

/** An archive to be read, and the image that is expected in it, where it was named. */
export interface Target {
  readonly archive: string
  readonly label: string
  readonly reference?: ImageReference
  /** Whether an increment of a newer image of that name lies beside it. */
  readonly isSuperseded?: boolean
}

/** The images that a run is about. */
export interface Wanted {
  readonly references: readonly ImageReference[]
  /** The list that names them; undefined if they were named one by one. */
  readonly list: Buffer | undefined
}

/**
 * @returns the images that were named, else those of the list, which is `images_list.txt` here if none was asked for
 * @throws BAD_REFERENCE, BAD_LIST, BAD_FILE, NAME_CLASH
 */
export async function findReferences({ names, list }: TargetOptions): Promise<Wanted> {
  const read = names.length > 0 ? undefined : await readList(list)
  const references = read?.references ?? [...new Set(names)].map(parseReference)
  checkNameClashes(references)
  checkTagClashes(references)
  return { references, list: read?.bytes }
}

/**
 * @returns the archives that were named, or belong to the images that were;
 *   else those of the list that was asked for or lies in the delivery;
 *   without one, all archives there
 * @throws BAD_REFERENCE, BAD_LIST, NAME_CLASH, NOT_LISTED or MISMATCH for the list of
 *   the delivery, and NO_ARCHIVE where there is nothing at all
 */
export async function findTargets(
  options: TargetOptions & Pick<VerbContext, 'notify'>,
  delivery: Delivery,
): Promise<Target[]> {
  const { names, list, dir, notify } = options
  const place = { dir, delivery, notify }
  if (names.length > 0) {
    return Promise.all([...new Set(names)].map((name) => namedTarget(name, place)))
  }
  const references =
    list === undefined ? await readDelivered(place) : (await readList(list)).references
  const archives = await delivery.catalogOf(dir).archives()
  if (references) {
    checkNameClashes(references)
    const text = noteOffList(archives, references)
    if (text !== undefined) notify({ type: 'warning', text })
    return Promise.all(references.map((reference) => imageTarget(reference, place)))
  }
  if (archives.length > 0) {
    return Promise.all(
      archives.map(async (name) => {
        const beside = incrementNames(name).filter((other) => archives.includes(other))
        const newer = [
          ...(await onlyListed(beside, place)),
          ...(await findLost(incrementNames(name), place)),
        ]
        const isSuperseded = (await onlyIncrements(newer, place)).length > 0
        return { archive: join(dir, name), label: name, isSuperseded }
      }),
    )
  }
  throw new ToolError('NO_ARCHIVE', `no archives in "${dir}"`, {
    hint: 'name the delivery with --dir',
  })
}

/**
 * @param missing - what the delivery lacks; where something is, there may be no archive
 * @returns as {@link findTargets}, whose errors it throws
 */
export async function findTargetsOf(
  options: Parameters<typeof findTargets>[0],
  delivery: Delivery,
  missing: readonly unknown[],
): Promise<Target[]> {
  try {
    return await findTargets(options, delivery)
  } catch (error) {
    if (missing.length > 0 && error instanceof ToolError && error.code === 'NO_ARCHIVE') return []
    throw error
  }
}

/**
 * @returns the archive's size in bytes
 * @throws NO_ARCHIVE where it is not there, BAD_FILE where it is not a regular file
 */
export async function checkExists({ archive, label }: Target): Promise<number> {
  const found = await lookAtFile(archive)
  if (found) return found.size
  throw new ToolError('NO_ARCHIVE', `read "${label}": "${archive}" not found`, {
    hint: 'name its directory with --dir, or make it with save_compressed_tars',
  })
}

/** Where archives are looked for. */
interface Place extends Pick<VerbContext, 'notify'> {
  readonly dir: string
  readonly delivery: Delivery
}

async function namedTarget(name: string, place: Place): Promise<Target> {
  const archive = name.includes('/') ? name : join(place.dir, name)
  if (isArchiveName(name) || (await isThere(archive))) return { archive, label: basename(name) }
  return imageTarget(parseReference(name), place)
}

// Where both are there, the increment came later, and what it needs of the
// archive in full it takes from there.
async function imageTarget(reference: ImageReference, place: Place): Promise<Target> {
  const names = archiveNames(reference)
  const there: string[] = []
  for (const name of [...names.map(incrementName), ...names]) {
    if (await isThere(join(place.dir, name))) there.push(name)
  }
  const listed = await onlyListed(there, place)
  // Else an older image would be taken for the newer one.
  const [lost] = await onlyIncrements(await findLost(names.map(incrementName), place), place)
  const archive =
    lost ??
    (await choose(listed, names, place)) ??
    (await choose(there, names, place)) ??
    (await findListed(names, place)) ??
    archiveName(reference, CODECS[0])
  const unlisted = there.filter((name) => listed.length > 0 && !listed.includes(name))
  for (const name of unlisted) {
    const text = `"${name}" is not used: SHA256SUMS does not list it`
    place.notify({ type: 'warning', text })
  }
  return { archive: join(place.dir, archive), label: reference.text, reference }
}

async function choose(
  there: readonly string[],
  full: readonly string[],
  place: Place,
): Promise<string | undefined> {
  const increments = there.filter((name) => !full.includes(name))
  const chosen = await onlyIncrements(increments, place)
  return (
    onlyOne(chosen, place.dir) ??
    onlyOne(
      there.filter((name) => full.includes(name)),
      place.dir,
    )
  )
}

// What the manifest does not list is no part of the delivery.
async function onlyListed(names: readonly string[], { dir, delivery }: Place): Promise<string[]> {
  const listed: string[] = []
  for (const name of names) {
    const isListed = await delivery.listedSum(join(dir, name)).then(
      () => true,
      (error: unknown) => {
        if (error instanceof ToolError && error.code === 'NOT_LISTED') return false
        throw error
      },
    )
    if (isListed) listed.push(name)
  }
  return listed
}

// What the manifest lists, and is not there.
async function findLost(names: readonly string[], { dir, delivery }: Place): Promise<string[]> {
  const sums = (await delivery.manifestOf(dir))?.sums
  const lost: string[] = []
  for (const name of names.filter((each) => sums?.has(each))) {
    if (!(await isThere(join(dir, name)))) lost.push(name)
  }
  return lost
}

// A tag may end as the name of an increment does; the metadata tells, where there is
// one. One that cannot be read counts: the archive it belongs to fails by it.
async function onlyIncrements(
  names: readonly string[],
  { dir, delivery }: Place,
): Promise<string[]> {
  const found: string[] = []
  for (const name of names) {
    // Where it cannot be read, the name decides; whoever reads the archive tells of it.
    const metadata = await delivery.readMetadata(join(dir, name)).catch(() => undefined)
    if (!metadata || metadata.requires) found.push(name)
  }
  return found
}

// Of one that is not there, the name that is missed.
async function findListed(
  names: readonly string[],
  { dir, delivery }: Place,
): Promise<string | undefined> {
  const sums = (await delivery.manifestOf(dir))?.sums
  return [...names.map(incrementName), ...names].find((name) => sums?.has(name))
}

function onlyOne(found: readonly string[], dir: string): string | undefined {
  if (found.length < 2) return found[0]
  throw new ToolError('NAME_CLASH', `look into "${dir}": there are ${quote(found)}`, {
    hint: 'they may hold different images: name the one to take, or remove the other',
  })
}

function quote(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(' and ')
}

// What is no file is found to be none when it is to be read; a directory may have any name.
async function isThere(path: string): Promise<boolean> {
  const found = await lstat(path).catch((error: unknown) => {
    // What is named may be longer than a file's name.
    if (!isSystemError(error) || error.code !== 'ENAMETOOLONG') return ignoreNotFound(error)
    return undefined
  })
  return found !== undefined && !found.isDirectory()
}

async function readDelivered({
  dir,
  delivery,
  notify,
}: Place): Promise<readonly ImageReference[] | undefined> {
  const path = join(dir, LIST_NAME)
  const bytes = await delivery.readFile(path, MAX_LIST_BYTES)
  const manifest = bytes && (await delivery.manifestOf(dir))
  if (manifest && !manifest.sums.has(LIST_NAME)) {
    const text = `"${path}" is followed, though SHA256SUMS does not list it`
    notify({ type: 'warning', text })
  }
  return bytes && parseImageList(bytes.toString('utf8'), path)
}

interface ReadList {
  readonly bytes: Buffer
  readonly references: readonly ImageReference[]
}

// A person named it, or keeps it here.
async function readList(named: string | undefined): Promise<ReadList> {
  const file = named ?? LIST_NAME
  const readPipes = named !== undefined
  const found = await readSmallFile(file, {
    maxBytes: MAX_LIST_BYTES,
    followLinks: true,
    readPipes,
  })
  if (!found) {
    throw new ToolError(
      'BAD_LIST',
      named === undefined ? `${LIST_NAME} not found in this directory` : `"${file}" not found`,
      {
        hint: `write one image reference a line into ${LIST_NAME}, or name a list with --list`,
      },
    )
  }
  const { bytes } = found
  return { bytes, references: parseImageList(bytes.toString('utf8'), file) }
}
