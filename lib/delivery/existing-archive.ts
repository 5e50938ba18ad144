// What lies under the name of an archive before something is put there. An
// archive whose metadata is missing or cannot be read may be anybody's: it is
// not written over, nor taken away, unless that is forced.
import { lstat } from 'node:fs/promises'
import { basename } from 'node:path'

import { isSameCoding, type Coding } from '../codec/formats.ts'
import { ToolError, isSystemError, ignoreNotFound } from '../core/errors.ts'
import type { VerbContext } from '../core/outcome.ts'
import { hashFile } from '../io/file-range.ts'
import type { Catalog } from './catalog.ts'
import { checksumsOf } from './commit.ts'
import type { Directory } from './directory.ts'
import type { FoundMetadata } from './layer-index.ts'
import { metadataName } from './name.ts'
import type { ArchiveMetadata } from './metadata.ts'

/** What lies there. */
export interface ExistingArchive {
  /** Its metadata; undefined if it has none that can be read. */
  readonly metadata: ArchiveMetadata | undefined
  /** Why it may not be replaced; undefined if its metadata can be read. */
  readonly refusal: ToolError | undefined
}

/**
 * @param archive - path of an archive
 * @returns what lies there, or undefined if there is neither an archive nor metadata
 * @throws what the system says of metadata that is there and cannot be read
 */
export async function examineArchive(
  catalog: Catalog,
  archive: string,
): Promise<ExistingArchive | undefined> {
  try {
    const metadata = await catalog.metadataOf(archive)
    if (metadata) return { metadata, refusal: undefined }
    // The next run that writes finishes a pending one: it is one of ours.
    const isThere =
      (await isFileThere(archive)) && !(await catalog.pending()).has(basename(archive))
    return isThere ? { metadata, refusal: unknownArchive(archive) } : undefined
  } catch (error) {
    if (!(error instanceof ToolError) || error.code !== 'BAD_RECORD') throw error
    return { metadata: undefined, refusal: damagedMetadata(archive, error) }
  }
}

/**
 * As {@link examineArchive}, for a name under which nothing is to be written.
 *
 * @returns undefined also where the name is longer than one can be: nothing is there
 */
export async function examineBeside(
  catalog: Catalog,
  archive: string,
): Promise<ExistingArchive | undefined> {
  try {
    return await examineArchive(catalog, archive)
  } catch (error) {
    if (isSystemError(error) && error.code === 'ENAMETOOLONG') return undefined
    throw error
  }
}

/**
 * @returns the metadata of an archive; undefined if there is none, or where it is damaged
 * @throws what the system says of metadata that is there and cannot be read
 */
export async function readValidMetadata(
  catalog: Catalog,
  archive: string,
): Promise<ArchiveMetadata | undefined> {
  return (await examineBeside(catalog, archive))?.metadata
}

/** @returns whether the archive of this metadata is there and need not be made again. */
export async function isUpToDate(
  directory: Directory,
  { archive, metadata }: FoundMetadata,
  { force, coding, notify, signal }: VerbContext & { force: boolean; coding: Coding },
): Promise<boolean> {
  if (force || !isSameCoding(metadata.archive, coding)) return false
  const found = await lstat(archive).catch(ignoreNotFound)
  if (!found?.isFile() || found.size !== metadata.archive.sizeBytes) return false
  const listed = await directory.sums.listed()
  const sums = [...(await checksumsOf(directory, archive, metadata))]
  // What is not listed may be so by a crash, or be another's; what was listed was right then.
  const changed = sums.find(([name, sha256]) => (listed.get(name) ?? sha256) !== sha256)
  const isKnown = listed.has(basename(archive))
  if (!changed && (isKnown || (await hashFile(archive, signal)) === metadata.archive.sha256)) {
    return true
  }
  const who = changed
    ? 'SHA256SUMS has another sha256 for it or its metadata'
    : 'it is not what its metadata tells'
  const text = `"${archive}" is not up to date: ${who}`
  notify({ type: 'warning', text })
  return false
}

async function isFileThere(path: string): Promise<boolean> {
  return (await lstat(path).catch(ignoreNotFound)) !== undefined
}

function unknownArchive(archive: string): ToolError {
  const why = 'it is there without its metadata and may not be ours'
  return new ToolError('NAME_CLASH', `replace "${archive}": ${why}`, {
    hint: 'move it away, or use --force to replace it',
  })
}

function damagedMetadata(archive: string, cause: ToolError): ToolError {
  const metadata = basename(metadataName(archive))
  return new ToolError('BAD_RECORD', `replace "${archive}": ${cause.message}`, {
    hint: `copy "${metadata}" again, move both files away, or use --force to replace the archive`,
    cause,
  })
}
