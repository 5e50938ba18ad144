// Looks at an existing archive before a run replaces it. An archive without readable metadata
// may be somebody else's file: it is neither replaced nor removed, unless the user forces it.
import { lstat } from 'node:fs/promises'
import { basename } from 'node:path'

import { isSameCoding, type Coding } from '../codec/formats.ts'
import { ToolError, isSystemError, ignoreNotFound } from '../core/errors.ts'
import type { VerbContext } from '../core/outcome.ts'
import { hashArchive, archiveAt } from '../io/archive-file.ts'
import type { Catalog } from './catalog.ts'
import { checksumsOf } from './commit.ts'
import type { Directory } from './directory.ts'
import type { FoundMetadata } from './layer-index.ts'
import type { ArchiveMetadata } from './metadata.ts'
import { metadataName } from './name.ts'

/** What exists under the name of an archive. */
export interface ExistingArchive {
  /** Its metadata, or undefined if it has none that can be read. */
  readonly metadata: ArchiveMetadata | undefined
  /** Why it may not be replaced, or undefined if its metadata can be read. */
  readonly refusal: ToolError | undefined
}

/**
 * @param archive - path of an archive
 * @returns what exists under this name; undefined if there is neither an archive nor metadata,
 *   or if the archive is a pending one
 * @throws the system's error if the metadata exists and cannot be read
 */
export async function examineArchive(
  catalog: Catalog,
  archive: string,
): Promise<ExistingArchive | undefined> {
  try {
    const metadata = await catalog.metadataOf(archive)
    if (metadata) return { metadata, refusal: undefined }
    // A pending archive is not refused: one of our runs wrote it, and the next run that writes
    // here finishes it.
    const isThere =
      (await isFileThere(archive)) && !(await catalog.pending()).has(basename(archive))
    return isThere ? { metadata, refusal: unknownArchive(archive) } : undefined
  } catch (error) {
    if (!(error instanceof ToolError) || error.code !== 'BAD_RECORD') throw error
    return { metadata: undefined, refusal: damagedMetadata(archive, error) }
  }
}

/**
 * Like {@link examineArchive}, for a name that this run does not write to.
 *
 * @returns undefined also if the name is too long for a file: then no file can have it
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
 * @returns the metadata of an archive, or undefined if there is none or it is damaged
 * @throws the system's error if the metadata exists and cannot be read
 */
export async function readValidMetadata(
  catalog: Catalog,
  archive: string,
): Promise<ArchiveMetadata | undefined> {
  return (await examineBeside(catalog, archive))?.metadata
}

/**
 * @returns whether the archive of this metadata exists as it was written, and need not be made
 *   again
 */
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
  // A sum in SHA256SUMS must match. A file that is not listed is no mismatch, because a run may
  // have crashed before it listed it; but it may be somebody else's, so then the archive itself
  // is hashed.
  const changed = sums.find(([name, sha256]) => (listed.get(name) ?? sha256) !== sha256)
  const isKnown = listed.has(basename(archive))
  if (
    !changed &&
    (isKnown || (await hashArchive(archiveAt(archive), signal)) === metadata.archive.sha256)
  ) {
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
