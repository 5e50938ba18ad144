// Finds the targets of a run: the named images or files; otherwise those of the list;
// otherwise, for a run that reads archives, all in the delivery.
import { lstat } from 'node:fs/promises'
import { basename, join } from 'node:path'

import { CODECS } from '../codec/formats.ts'
import { ToolError, isSystemError, ignoreNotFound } from '../core/errors.ts'
import type { VerbContext } from '../core/outcome.ts'
import type { Delivery } from '../delivery/delivery.ts'
import { parseImageList } from '../delivery/image-list.ts'
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
import { noteOffList } from '../delivery/off-list.ts'
import { parseReference, type ImageReference } from '../image/reference.ts'
import { MAX_LIST_BYTES, lookAtFile, readSmallFile } from '../io/small-file.ts'

/** What a run is for. */
export interface TargetOptions {
  /** Images or archives, as the user gave them. */
  readonly names: readonly string[]
  /** The value of `--list`, if it is given. */
  readonly list: string | undefined
}

/** The same, and where to look. */
export interface TargetSearch extends TargetOptions, Pick<VerbContext, 'notify'> {
  /** The delivery. */
  readonly dir: string
}

/** An archive to read, and the image that it should hold, if the user or a list named one. */
export interface Target {
  readonly archive: string
  readonly label: string
  readonly reference?: ImageReference
  /** Whether an increment with a newer image of that name is beside it. */
  readonly isSuperseded?: boolean
}

/** The images of a save. */
export interface Wanted {
  readonly references: readonly ImageReference[]
  /** The bytes of the list that names them, or undefined if the user named them one by one. */
  readonly list: Buffer | undefined
}

/**
 * @returns the named images; without names, those of the list, by default `images_list.txt`
 *   here
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
 * @returns the named archives, and the archives of the named images; without names, those of
 *   the given list or of the list in the delivery; without a list, all archives there
 * @throws BAD_REFERENCE, BAD_LIST, NAME_CLASH; NOT_LISTED or MISMATCH for the list of the
 *   delivery; NO_ARCHIVE if there is no archive at all
 */
export async function findTargets(options: TargetSearch, delivery: Delivery): Promise<Target[]> {
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
 * @param missing - the missing files of the delivery. Each is reported, so if there are any, it
 *   is no error that there is no archive.
 * @returns as {@link findTargets}, whose other errors it throws
 */
export async function findTargetsOf(
  options: TargetSearch,
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
 * @returns the size of the archive in bytes
 * @throws NO_ARCHIVE if it does not exist; BAD_FILE if it is not a plain file
 */
export async function checkExists({ archive, label }: Target): Promise<number> {
  const found = await lookAtFile(archive)
  if (found) return found.size
  throw new ToolError('NO_ARCHIVE', `read "${label}": "${archive}" not found`, {
    hint: 'name its directory with --dir, or make it with save_compressed_tars',
  })
}

/** Where to look for archives. */
interface Place extends Pick<VerbContext, 'notify'> {
  readonly dir: string
  readonly delivery: Delivery
}

async function namedTarget(name: string, place: Place): Promise<Target> {
  const archive = name.includes('/') ? name : join(place.dir, name)
  if (isArchiveName(name) || (await isThere(archive))) return { archive, label: basename(name) }
  return imageTarget(parseReference(name), place)
}

// If both exist, the increment is newer; it takes what it needs from the full archive.
async function imageTarget(reference: ImageReference, place: Place): Promise<Target> {
  const names = archiveNames(reference)
  const there: string[] = []
  for (const name of [...names.map(incrementName), ...names]) {
    if (await isThere(join(place.dir, name))) there.push(name)
  }
  const listed = await onlyListed(there, place)
  // A missing increment that SHA256SUMS lists is the target: otherwise an older image would be
  // used instead of the newer one.
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

// A file that the manifest does not list is not part of the delivery.
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

// Finds the files that the manifest lists and that do not exist.
async function findLost(names: readonly string[], { dir, delivery }: Place): Promise<string[]> {
  const sums = (await delivery.manifestOf(dir))?.sums
  const lost: string[] = []
  for (const name of names.filter((each) => sums?.has(each))) {
    if (!(await isThere(join(dir, name)))) lost.push(name)
  }
  return lost
}

// A tag may end like the name of an increment, so the metadata decides. If it cannot, the name
// does; an error in the metadata is reported when the archive is read.
async function onlyIncrements(
  names: readonly string[],
  { dir, delivery }: Place,
): Promise<string[]> {
  const found: string[] = []
  for (const name of names) {
    const metadata = await delivery.readMetadata(join(dir, name)).catch(() => undefined)
    if (!metadata || metadata.requires) found.push(name)
  }
  return found
}

// The archive does not exist; this is the name under which it is reported as missing.
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

// A directory may have any name, and is not an archive. Anything else that is not a plain file
// is refused when it is read.
async function isThere(path: string): Promise<boolean> {
  const found = await lstat(path).catch((error: unknown) => {
    // The user may give a text that is longer than a file name can be.
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

// This list is the user's own choice, so links are followed, and a named list may be a pipe.
async function readList(named: string | undefined): Promise<ReadList> {
  const file = named ?? LIST_NAME
  const limits = { maxBytes: MAX_LIST_BYTES, followLinks: true, readPipes: named !== undefined }
  const found = await readSmallFile(file, limits)
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
