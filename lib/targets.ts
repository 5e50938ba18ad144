// What a run is about: the images or files that were named, else the list,
// else whatever lies in the carry directory.
import { stat } from 'node:fs/promises'
import { basename, join } from 'node:path'

import {
  archiveName,
  archiveNames,
  checkNameClashes,
  checkTagClashes,
  incrementName,
  incrementNames,
  isArchiveName,
} from './archive-name.ts'
import { listArchives, readChecksums, readRecord } from './carry-directory.ts'
import { CODECS } from './codec.ts'
import { ToolError, isAbsent, isSystemError, nothing } from './errors.ts'
import { readText } from './file-range.ts'
import { parseImageList } from './image-list.ts'
import { parseReference, type ImageReference } from './image-reference.ts'

/** The list that is read where nothing is named: here by a save, in the carry directory by those after it. */
const DEFAULT_LIST = 'images_list.txt'

/** Where to look. */
export interface TargetOptions {
  /** Images or archives, as they were named. */
  readonly names: readonly string[]
  /** The list that was asked for. */
  readonly list: string | undefined
  /** The carry directory. */
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

/**
 * @returns the images that were named, else those of the list
 * @throws BAD_REFERENCE, BAD_LIST, NAME_CLASH
 */
export async function findReferences(options: TargetOptions): Promise<ImageReference[]> {
  const references =
    options.names.length > 0
      ? [...new Set(options.names)].map(parseReference)
      : await readList(options.list ?? DEFAULT_LIST)
  checkNameClashes(references)
  checkTagClashes(references)
  return references
}

/**
 * @returns the archives that were named, or belong to the images that were;
 *   else those of the list that was asked for or lies in the carry directory;
 *   without one, all archives there
 * @throws BAD_REFERENCE, BAD_LIST, NAME_CLASH, and NO_ARCHIVE where there is nothing at all
 */
export async function findTargets(options: TargetOptions): Promise<Target[]> {
  const { names, list, dir } = options
  if (names.length > 0) {
    return Promise.all([...new Set(names)].map((name) => namedTarget(name, dir)))
  }
  const references = await readList(list ?? join(dir, DEFAULT_LIST)).catch((error: unknown) => {
    if (list === undefined && isMissing(error)) return undefined
    throw error
  })
  if (references) {
    checkNameClashes(references)
    return Promise.all(references.map((reference) => imageTarget(reference, dir)))
  }
  const archives = await listArchives(dir)
  if (archives.length > 0) {
    return Promise.all(
      archives.map(async (name) => {
        const beside = incrementNames(name).filter((other) => archives.includes(other))
        const isSuperseded = (await onlyIncrements(beside, dir)).length > 0
        return { archive: join(dir, name), label: name, isSuperseded }
      }),
    )
  }
  throw new ToolError('NO_ARCHIVE', `look into "${dir}": there is no archive`, {
    hint: 'name the carry directory with --dir',
  })
}

/**
 * @param missing - what the delivery lacks; where something is, there may be no archive
 * @returns as {@link findTargets}, whose errors it throws
 */
export async function findTargetsOf(
  options: TargetOptions,
  missing: readonly unknown[],
): Promise<Target[]> {
  try {
    return await findTargets(options)
  } catch (error) {
    if (missing.length > 0 && error instanceof ToolError && error.code === 'NO_ARCHIVE') return []
    throw error
  }
}

/**
 * @returns the archive's size in bytes
 * @throws NO_ARCHIVE where it is not there
 */
export async function checkExists({ archive, label }: Target): Promise<number> {
  const found = await stat(archive).catch(nothing)
  if (found?.isFile()) return found.size
  throw new ToolError('NO_ARCHIVE', `read "${label}": there is no "${archive}"`, {
    hint: 'name its directory with --dir, or make it with save_compressed_tars',
  })
}

async function namedTarget(name: string, dir: string): Promise<Target> {
  const archive = name.includes('/') ? name : join(dir, name)
  if (isArchiveName(name) || (await isFile(archive))) return { archive, label: basename(name) }
  return imageTarget(parseReference(name), dir)
}

// Where both are there, the increment came later, and what it needs of the
// archive in full it takes from there.
async function imageTarget(reference: ImageReference, dir: string): Promise<Target> {
  const names = archiveNames(reference)
  const archive =
    (await findOne(await onlyIncrements(names.map(incrementName), dir), dir)) ??
    (await findOne(names, dir)) ??
    (await findListed(names, dir)) ??
    archiveName(reference, CODECS[0])
  return { archive: join(dir, archive), label: reference.text, reference }
}

// A tag may end as the name of an increment does; the record tells, where there is
// one. One that cannot be read counts: the archive it belongs to fails by it.
async function onlyIncrements(names: readonly string[], dir: string): Promise<string[]> {
  const found: string[] = []
  for (const name of names) {
    // Where it cannot be read, the name decides; whoever reads the archive tells of it.
    const record = await readRecord(join(dir, name)).catch(() => undefined)
    if (!record || record.requires) found.push(name)
  }
  return found
}

// Of one that is not there, the name that is missed.
async function findListed(names: readonly string[], dir: string): Promise<string | undefined> {
  const listed = await readChecksums(dir)
  return [...names.map(incrementName), ...names].find((name) => listed.has(name))
}

async function findOne(names: readonly string[], dir: string): Promise<string | undefined> {
  const found: string[] = []
  for (const name of names) if (await isFile(join(dir, name))) found.push(name)
  if (found.length < 2) return found[0]
  throw new ToolError('NAME_CLASH', `look into "${dir}": there are ${quote(found)}`, {
    hint: 'they may hold different images: name the one to take, or remove the other',
  })
}

function quote(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(' and ')
}

async function isFile(path: string): Promise<boolean> {
  const found = await stat(path).catch((error: unknown) => {
    // What is named may be longer than a file's name.
    if (!isSystemError(error) || error.code !== 'ENAMETOOLONG') return nothing(error)
    return undefined
  })
  return found?.isFile() ?? false
}

async function readList(file: string): Promise<ImageReference[]> {
  const text = await readText(file).catch((cause: unknown) => {
    if (!isAbsent(cause)) throw cause
    throw new ToolError('BAD_LIST', `read the list: there is no "${file}"`, {
      hint: `write one image reference a line into ${DEFAULT_LIST}, or name a list with --list`,
      cause,
    })
  })
  return parseImageList(text, file)
}

function isMissing(error: unknown): boolean {
  return error instanceof ToolError && error.code === 'BAD_LIST' && error.cause !== undefined
}
