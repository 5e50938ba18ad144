// Takes images out of a delivery properly: archives in every format, increments,
// metadata and lines of SHA256SUMS, so that nothing is missed at the other end.
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

import { checkNamed } from './archive-check.ts'
import {
  archiveNames,
  incrementName,
  isArchiveName,
  isIncrementName,
  recordName,
} from './archive-name.ts'
import type { ArchiveRecord } from './archive-record.ts'
import { checkDirectory, forgetArchive, readChecksums } from './carry-directory.ts'
import type { Checksums } from './checksum-file.ts'
import { CODECS, ENDINGS } from './codec.ts'
import { ToolError } from './errors.ts'
import { examineBeside, type ExistingArchive } from './existing-archive.ts'
import { readRecords, type FoundRecord } from './held-layers.ts'
import { parseReference, type ImageReference } from './image-reference.ts'
import { attempt, type Outcome, type Result, type VerbContext } from './outcome.ts'
import { openForWriting } from './writing-run.ts'

/** What {@link forget} takes. */
export interface ForgetOptions extends VerbContext {
  /** Images, archives or tars, as they were named. */
  readonly images: readonly string[]
  /** What else was named; there may be nothing. */
  readonly names: readonly string[]
  /** The program, for those who want to write meanwhile. */
  readonly program: string
  readonly dir: string
  /** Whether to take out what may be another's, or what others need. */
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
  /** undefined where there is only metadata, or a line in SHA256SUMS. */
  readonly sizeBytes: number | undefined
}

interface Context {
  readonly options: ForgetOptions
  readonly listed: Checksums
  /** The archives that go, all of them, by their paths. */
  readonly leaving: ReadonlySet<string>
}

/**
 * @returns one outcome for each image
 * @throws before anything is removed: USAGE, BAD_REFERENCE, NO_DIRECTORY,
 *   NOT_WRITABLE, BUSY; and INTERRUPTED
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
  // What is not there any more is dropped from it when the run begins.
  const listed = await readChecksums(dir)
  const leaving = new Set(named.flatMap(({ archives }) => archives))
  const close = dryRun ? async () => {} : await openForWriting(dir, program, options)
  try {
    for (const each of named) {
      yield await attempt(each.name, basename(each.archives[0] ?? ''), () =>
        forgetOne(each, { options, listed, leaving }),
      )
    }
  } finally {
    await close()
  }
}

function findNamed(name: string, dir: string): Named {
  const file = basename(name)
  const inDir = (names: readonly string[]): string[] => names.map((each) => join(dir, each))
  if (isArchiveName(name)) return { name, reference: undefined, archives: inDir([file]) }
  if (/^[^:]+\.tar$/.test(name)) {
    const stem = file.slice(0, -'.tar'.length)
    const archives = inDir(CODECS.map((codec) => stem + ENDINGS[codec]))
    return { name, reference: undefined, archives }
  }
  const reference = parseReference(name)
  const full = archiveNames(reference)
  return { name, reference, archives: inDir([...full, ...full.map(incrementName)]) }
}

async function forgetOne(named: Named, context: Context): Promise<Result> {
  const { options, leaving } = context
  const found: Found[] = []
  for (const archive of named.archives) {
    const each = await find(archive, context)
    if (each && !isAnothers(each, named)) found.push(each)
  }
  const [first] = found
  if (!first) {
    throw new ToolError(
      'NO_ARCHIVE',
      `forget "${named.name}": "${options.dir}" has no archive of it`,
      {
        hint: 'see what is there with verify_checksums --list',
      },
    )
  }
  if (!options.force) {
    for (const each of found) checkOurs(each, named)
    await checkNotNeeded(named, found, await readRecords(options.dir), leaving)
  }
  const archiveBytes = found.reduce((total, { sizeBytes = 0 }) => total + sizeBytes, 0)
  const notes = found.map(({ archive }) => basename(archive))
  const result = { archive: basename(first.archive), archiveBytes, notes }
  if (options.dryRun) return { result: 'would be forgotten', ...result }
  for (const { archive } of found) await forgetArchive(archive)
  return { result: 'forgotten', ...result }
}

async function find(archive: string, { listed }: Context): Promise<Found | undefined> {
  const existing = await examineBeside(archive)
  const isListed = listed.has(basename(archive)) || listed.has(basename(recordName(archive)))
  const names = await readdir(dirname(archive))
  const [isThere, isRecordThere] = [archive, recordName(archive)].map((path) =>
    names.includes(basename(path)),
  )
  if (!isThere && !isRecordThere && !isListed) return undefined
  return { archive, sizeBytes: isThere ? (await stat(archive)).size : undefined, ...existing }
}

// Another image may have a tag that ends as the name of an increment does.
function isAnothers({ archive, record }: Found, { reference }: Named): boolean {
  const isAside = reference !== undefined && !archiveNames(reference).includes(basename(archive))
  return isAside && isIncrementName(archive) && record !== undefined && !record.requires
}

function checkOurs({ archive, record, refusal }: Found, { name, reference }: Named): void {
  if (refusal) {
    const message = refusal.message.replace(/^replace /, 'forget ')
    const hint = 'remove it by hand, or use --force to take it out all the same'
    throw new ToolError(refusal.code, message, { hint, cause: refusal })
  }
  if (!record) return
  checkNamed({ archive, label: name, ...(reference && { reference }) }, record)
  const saved = record.images[0]?.reference
  if (reference || saved === undefined || isArchiveName(name)) return
  throw new ToolError('NAME_CLASH', `forget "${archive}": it holds "${saved}", which was saved`, {
    hint: `--forget ${saved} takes it out`,
  })
}

async function checkNotNeeded(
  { name }: Named,
  going: readonly Found[],
  records: readonly FoundRecord[],
  leaving: ReadonlySet<string>,
): Promise<void> {
  const others = records.filter(({ archive }) => !leaving.has(archive))
  const held = new Set(others.flatMap(({ record }) => layersIn(record)))
  const lost = new Set(going.flatMap(({ record }) => (record ? layersIn(record) : [])))
  const needing = others.filter(({ record }) =>
    record.requires?.some(({ digest }) => lost.has(digest) && !held.has(digest)),
  )
  if (needing.length === 0) return
  const names = needing.map(({ archive }) => `"${basename(archive)}"`).join(', ')
  throw new ToolError('MISSING_LAYER', `forget "${name}": its layers are needed by ${names}`, {
    hint: 'forget that as well, or use --force if the air-gapped host has the layers',
  })
}

function layersIn({ segments }: ArchiveRecord): string[] {
  return segments.flatMap(({ layerDigest }) => (layerDigest === undefined ? [] : [layerDigest]))
}
