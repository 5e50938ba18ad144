// Removes images from a delivery: their archives in every format, increments, metadata and
// lines in SHA256SUMS. If a line stayed, the air-gapped host would report a missing file.
import { stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'

import { CODECS, ENDINGS } from '../codec/formats.ts'
import { ToolError, toToolError } from '../core/errors.ts'
import { toOutcome, type Outcome, type Result, type VerbContext } from '../core/outcome.ts'
import { forgetArchive } from '../delivery/commit.ts'
import { takeOffList } from '../delivery/delivered-list.ts'
import { Directory, checkDirectory } from '../delivery/directory.ts'
import { examineBeside, type ExistingArchive } from '../delivery/existing-archive.ts'
import type { FoundMetadata, IndexedLayer } from '../delivery/layer-index.ts'
import type { ArchiveMetadata } from '../delivery/metadata.ts'
import {
  archiveNames,
  incrementName,
  isArchiveName,
  isIncrementName,
  metadataName,
} from '../delivery/name.ts'
import type { Checksums } from '../delivery/sha256sums.ts'
import { parseReference, type ImageReference } from '../image/reference.ts'
import { checkNamed } from './archive-names.ts'
import { openForWriting } from './writing-run.ts'

/** Options of {@link forget}. */
export interface ForgetOptions extends VerbContext {
  /** Images, archives or tars, as the user gave them. */
  readonly images: readonly string[]
  /** Other arguments; there must be none. */
  readonly names: readonly string[]
  /** The name of this program, for the message to other runs that find the lock. */
  readonly program: string
  readonly dir: string
  /** Whether to remove also archives of unknown origin, and those that other archives need. */
  readonly force: boolean
  readonly dryRun: boolean
}

interface Named {
  readonly name: string
  readonly reference: ImageReference | undefined
  /** Paths of the archives that it may have. */
  readonly archives: readonly string[]
}

interface Found extends Partial<ExistingArchive> {
  readonly archive: string
  /** Undefined if there is only metadata, or a line in SHA256SUMS. */
  readonly sizeBytes: number | undefined
}

interface Planned extends Named {
  readonly found: readonly Found[]
  /** Why it stays, or undefined if it is removed. */
  refusal: ToolError | undefined
}

interface Context {
  readonly options: ForgetOptions
  readonly directory: Directory
  readonly listed: Checksums
}

/**
 * @returns one outcome for each image
 * @throws before anything is removed: USAGE, BAD_REFERENCE, NO_DIRECTORY, NOT_WRITABLE, BUSY;
 *   at any time INTERRUPTED
 */
export async function* forget(options: ForgetOptions): AsyncGenerator<Outcome> {
  const { images, names, program, dir, dryRun } = options
  if (names.length > 0) {
    throw new ToolError(
      'USAGE',
      `--forget takes out images, and nothing is done with "${names[0]}"`,
      {
        hint: 'give --forget before each image that is to go',
      },
    )
  }
  const named = [...new Set(images)].map((name) => findNamed(name, dir))
  await checkDirectory(dir)
  // The sums are read first, because the start of a run drops the lines of missing files.
  const directory = new Directory(dir)
  const listed = await directory.sums.listed()
  const close = dryRun ? async () => {} : await openForWriting(directory, program, options)
  try {
    const context = { options, directory, listed }
    const planned = await plan(named, context)
    // An increment is removed before the archives that it needs.
    for (const each of planned.toSorted((one, other) => weightOf(one) - weightOf(other))) {
      const archive = basename(each.archives[0] ?? '')
      yield await toOutcome(each.name, archive, options, () => forgetOne(each, context))
    }
  } finally {
    await close()
  }
}

function weightOf({ found }: Planned): number {
  return found.some(({ metadata }) => metadata?.requires) ? 0 : 1
}

// An image that is refused stays, and may need another one: the check is repeated until nothing
// more is refused.
async function plan(named: readonly Named[], context: Context): Promise<Planned[]> {
  const { directory, options } = context
  const planned: Planned[] = []
  for (const each of named) planned.push(await look(each, context))
  if (options.force) return planned
  const others = await readRest(directory)
  for (let isStable = false; !isStable;) {
    isStable = true
    const going = planned.filter(({ refusal }) => !refusal)
    for (const each of going) {
      each.refusal = findNeeding(each, going, others)
      if (each.refusal) isStable = false
    }
  }
  return planned
}

function findNamed(name: string, dir: string): Named {
  const file = basename(name)
  const inDir = (names: readonly string[]): string[] => names.map((each) => join(dir, each))
  if (isArchiveName(name)) {
    if (name.includes('/') && resolve(dirname(name)) !== resolve(dir)) throw elsewhere(name, dir)
    return { name, reference: undefined, archives: inDir([file]) }
  }
  if (/^[^:]+\.tar$/.test(name)) {
    const stem = file.slice(0, -'.tar'.length)
    const archives = inDir(CODECS.map((codec) => stem + ENDINGS[codec]))
    return { name, reference: undefined, archives }
  }
  const reference = parseReference(name)
  const full = archiveNames(reference)
  return { name, reference, archives: inDir([...full, ...full.map(incrementName)]) }
}

function elsewhere(name: string, dir: string): ToolError {
  return new ToolError('USAGE', `--forget: "${name}" does not lie in "${dir}"`, {
    hint: 'name its directory with --dir, and the archive without one',
  })
}

async function look(named: Named, context: Context): Promise<Planned> {
  const found: Found[] = []
  let refusal: ToolError | undefined
  try {
    for (const archive of named.archives) {
      const each = await find(archive, context)
      if (each && !isAnothers(each, named)) found.push(each)
    }
    if (found.length === 0) throw notThere(named, context.options)
    if (!context.options.force) for (const each of found) checkOurs(each, named)
  } catch (error) {
    refusal = toToolError(error)
    if (!refusal) throw error
  }
  return { ...named, found, refusal }
}

function notThere({ name }: Named, { dir }: ForgetOptions): ToolError {
  return new ToolError('NO_ARCHIVE', `forget "${name}": "${dir}" has no archive of it`, {
    hint: 'see what is there with verify_checksums --list; a list that names it is replaced by a save with another one',
  })
}

async function forgetOne(
  planned: Planned,
  { directory, options: { dryRun } }: Context,
): Promise<Result> {
  const { found, refusal } = planned
  if (refusal) throw refusal
  const archiveBytes = found.reduce((total, { sizeBytes = 0 }) => total + sizeBytes, 0)
  const notes = found.map(({ archive }) => basename(archive))
  const result = { archive: String(notes[0]), archiveBytes, notes }
  if (dryRun) return { result: 'would be forgotten', ...result }
  for (const { archive } of found) await forgetArchive(directory, archive)
  // If the list still named the image, the air-gapped host would report it as missing.
  const list = await takeOffList(directory, referencesOf(planned))
  if (list !== undefined) notes.push(list)
  return { result: 'forgotten', ...result }
}

function referencesOf({ reference, found }: Planned): Set<string> {
  const saved = found.flatMap(({ metadata }) =>
    metadata?.images.flatMap((image) => image.reference ?? []),
  )
  return new Set([reference?.text, ...saved].filter((text) => text !== undefined))
}

async function find(archive: string, { directory, listed }: Context): Promise<Found | undefined> {
  const existing = await examineBeside(directory, archive)
  const isListed = listed.has(basename(archive)) || listed.has(basename(metadataName(archive)))
  const names = await directory.names()
  const [isThere, isRecordThere] = [archive, metadataName(archive)].map((path) =>
    names.has(basename(path)),
  )
  if (!isThere && !isRecordThere && !isListed) return undefined
  return { archive, sizeBytes: isThere ? (await stat(archive)).size : undefined, ...existing }
}

// Another image may have a tag that ends like the name of an increment.
function isAnothers({ archive, metadata }: Found, { reference }: Named): boolean {
  const isAside = reference !== undefined && !archiveNames(reference).includes(basename(archive))
  return isAside && isIncrementName(archive) && metadata !== undefined && !metadata.requires
}

function checkOurs({ archive, metadata, refusal }: Found, { name, reference }: Named): void {
  if (refusal) {
    const message = refusal.message.replace(/^replace /, 'forget ')
    const hint = 'remove it by hand, or use --force to take it out all the same'
    throw new ToolError(refusal.code, message, { hint, cause: refusal })
  }
  if (!metadata) return
  checkNamed({ archive, label: name, ...(reference && { reference }) }, metadata)
  const saved = metadata.images[0]?.reference
  if (reference || saved === undefined || isArchiveName(name)) return
  throw new ToolError('NAME_CLASH', `forget "${archive}": it holds "${saved}", which was saved`, {
    hint: `--forget ${saved} takes it out`,
  })
}

/** The archives of the whole directory. */
interface Rest {
  readonly all: readonly FoundMetadata[]
  /** The layers that can be read from these archives. */
  readonly layers: readonly IndexedLayer[]
  /** Paths of archives with metadata that cannot be used. */
  readonly unknown: readonly string[]
}

async function readRest(directory: Directory): Promise<Rest> {
  const unknown: string[] = []
  const warn = (_: string, archive: string): void => void unknown.push(archive)
  const all: FoundMetadata[] = []
  for await (const found of directory.all(warn)) all.push(found)
  return { all, layers: await directory.layers(), unknown }
}

function findNeeding(
  { name, found }: Planned,
  going: readonly Planned[],
  { all, layers, unknown }: Rest,
): ToolError | undefined {
  const leaving = new Set(going.flatMap((each) => each.found.map(({ archive }) => archive)))
  const kept = layers.filter(({ archive }) => !leaving.has(archive))
  const held = new Set(kept.map(({ digest }) => digest))
  const lost = new Set(found.flatMap(({ metadata }) => (metadata ? layersIn(metadata) : [])))
  const needing = all.filter(({ archive, metadata }) => {
    const isNeeded = metadata.requires?.some(({ digest }) => lost.has(digest) && !held.has(digest))
    return isNeeded && !leaving.has(archive)
  })
  // An increment with unreadable metadata may need these layers.
  const doubtful =
    lost.size > 0 ? unknown.filter((path) => isIncrementName(path) && !leaving.has(path)) : []
  const names = [...needing.map(({ archive }) => archive), ...doubtful].map(
    (path) => `"${basename(path)}"`,
  )
  if (names.length === 0) return undefined
  const why = `its layers ${needing.length > 0 ? 'are' : 'may be'} needed by ${names.join(', ')}`
  return new ToolError('MISSING_LAYER', `forget "${name}": ${why}`, {
    hint: 'forget that as well, or use --force if the air-gapped host has the layers',
  })
}

function layersIn({ segments }: ArchiveMetadata): string[] {
  return segments.flatMap(({ layerDigest }) => (layerDigest === undefined ? [] : [layerDigest]))
}
