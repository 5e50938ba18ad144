// Finds the files that are missing in a delivery: those that SHA256SUMS lists, and the archives
// of metadata files that have none. They were lost on the way, or somebody removed them.
import { lstat, readdir } from 'node:fs/promises'

import { ToolError, isNotFound, isSystemError, toToolError } from '../core/errors.ts'
import { COPY_AGAIN } from '../core/hints.ts'
import type { Outcome, VerbContext } from '../core/outcome.ts'
import type { Delivery } from '../delivery/delivery.ts'
import { isArchiveName, isMetadataName, describedArchive } from '../delivery/name.ts'
import { listFiles, type ListedFile } from '../delivery/sha256sums.ts'
import type { TargetSearch } from './targets.ts'

/** A missing file of the delivery, or metadata without its archive. */
export interface MissingFile {
  readonly name: string
  /**
   * The file name of the archive, if the file is an archive or its metadata; otherwise the
   * file's own name.
   */
  readonly archive: string
  readonly error: ToolError
}

/**
 * @param dir - the delivery
 * @param sums - the text of its SHA256SUMS, empty if it has none
 * @returns what is missing: the files in the order of SHA256SUMS, then the metadata whose
 *   archives SHA256SUMS does not list
 */
export async function findMissing(dir: string, sums: string): Promise<MissingFile[]> {
  // On some disks, macOS adds a file `._NAME` for each file. If one is missing, it does not
  // matter.
  const found = await findLost(dir, sums)
  const lost = found.filter(({ name }) => !/(?:^|\/)\._[^/]*$/.test(name))
  const names = await readdir(dir)
  const archives = new Set([...names, ...lost.map(({ name }) => name)])
  const alone = names
    .filter((name) => isMetadataName(name) && !name.startsWith('.'))
    .filter((name) => !archives.has(describedArchive(name)))
  return [...lost.map(lostFile), ...alone.toSorted().map(loneMetadata)]
}

/**
 * @returns what is missing for a run without named images or archives, see {@link findMissing};
 *   empty for any other run
 */
export async function findMissingOf(
  { names, dir }: Pick<TargetSearch, 'names' | 'dir'>,
  delivery: Delivery,
): Promise<MissingFile[]> {
  if (names.length > 0) return []
  return findMissing(dir, (await delivery.manifestOf(dir))?.text ?? '')
}

/**
 * @param missing - the missing files
 * @param reported - file names of the archives that the run has already reported as failed
 * @returns a failed outcome for each other missing file; the last one stands for all beyond
 *   {@link MAX_TOLD}
 */
export function* missingOutcomes(
  missing: readonly MissingFile[],
  reported: ReadonlySet<string>,
  { notify }: Pick<VerbContext, 'notify'>,
): Generator<Outcome> {
  const untold = missing.filter(({ archive }) => !reported.has(archive))
  for (const { name, archive, error } of untold.slice(0, MAX_TOLD)) {
    notify({ type: 'step', text: `Checking ${name}...` })
    yield { image: name, archive, result: 'failed', elapsedMs: 0, notes: [], error }
  }
  const more = untold.length - MAX_TOLD
  if (more <= 0) return
  const error = new ToolError(
    'NO_ARCHIVE',
    `check the delivery: ${more} more files are not there`,
    {
      hint: 'it is not whole: copy all of it again from where it was made',
    },
  )
  const image = `${more} more files`
  yield { image, archive: '', result: 'failed', elapsedMs: 0, notes: [], error }
}

/** The most missing files that are reported one by one. */
export const MAX_TOLD = 200

/** A file in SHA256SUMS that was not found. */
export interface LostFile extends ListedFile {
  /** Why it is not known whether the file exists, or undefined if it certainly does not. */
  readonly doubt: ToolError | undefined
}

/**
 * @param dir - the delivery
 * @param sums - the text of its SHA256SUMS
 * @returns the files of SHA256SUMS that were not found; files outside the directory are ignored
 */
export async function findLost(dir: string, sums: string): Promise<LostFile[]> {
  const lost: LostFile[] = []
  for (const file of listFiles(sums)) {
    if (/^\/|(?:^|\/)\.\.(?:\/|$)|\0/.test(file.name)) continue
    // The name is passed as bytes, because it may be in any encoding.
    await lstat(Buffer.concat([Buffer.from(`${dir}/`), file.bytes])).catch((error: unknown) => {
      lost.push({ ...file, doubt: isNowhere(error) ? undefined : doubtOf(file, error) })
    })
  }
  return lost
}

function isNowhere(error: unknown): boolean {
  return isNotFound(error) || (isSystemError(error) && error.code === 'ENAMETOOLONG')
}

function doubtOf({ name }: ListedFile, cause: unknown): ToolError {
  const reason = toToolError(cause)
  if (!reason) throw cause
  return new ToolError(
    reason.code,
    `look for "${name}", which SHA256SUMS lists: ${reason.message}`,
    {
      hint: 'see why it cannot be looked at, or take its line out of SHA256SUMS',
      cause,
    },
  )
}

function lostFile({ name, doubt }: LostFile): MissingFile {
  if (doubt) return { name, archive: name, error: doubt }
  const isMetadata = isMetadataName(name)
  const isOurs = isMetadata || isArchiveName(name)
  const error = new ToolError(
    isMetadata ? 'NO_RECORD' : 'NO_ARCHIVE',
    `"${name}" is missing: SHA256SUMS lists it`,
    {
      hint: isOurs
        ? `${COPY_AGAIN}; what is not wanted any more, take out with --forget when saving`
        : `${COPY_AGAIN}, or take its line out of SHA256SUMS`,
    },
  )
  return { name, archive: isMetadata ? describedArchive(name) : name, error }
}

function loneMetadata(name: string): MissingFile {
  const archive = describedArchive(name)
  const error = new ToolError('NO_ARCHIVE', `archive of "${name}" is missing`, {
    hint: `copy "${archive}" again from where it was made, or remove the metadata as well`,
  })
  return { name, archive, error }
}
