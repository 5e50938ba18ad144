// What lies under the name of an archive before something is put there. An
// archive whose metadata is missing or cannot be read may be anybody's: it is
// not written over, nor taken away, unless that is forced.
import { lstat, readdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

import { metadataName } from './name.ts'
import type { ArchiveMetadata } from './metadata.ts'
import { isPendingName } from '../io/atomic-file.ts'
import { readPending, readMetadata } from './directory.ts'
import { ToolError, isSystemError, ignoreNotFound } from '../core/errors.ts'

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
export async function examineArchive(archive: string): Promise<ExistingArchive | undefined> {
  try {
    const metadata = await readMetadata(archive)
    if (metadata) return { metadata, refusal: undefined }
    const isThere = (await isFileThere(archive)) && !(await hasPending(archive))
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
export async function examineBeside(archive: string): Promise<ExistingArchive | undefined> {
  try {
    return await examineArchive(archive)
  } catch (error) {
    if (isSystemError(error) && error.code === 'ENAMETOOLONG') return undefined
    throw error
  }
}

/**
 * @returns the metadata of an archive; undefined if there is none, or where it is damaged
 * @throws what the system says of metadata that is there and cannot be read
 */
export async function readValidMetadata(archive: string): Promise<ArchiveMetadata | undefined> {
  return (await examineBeside(archive))?.metadata
}

async function isFileThere(path: string): Promise<boolean> {
  return (await lstat(path).catch(ignoreNotFound)) !== undefined
}

// The next run that writes finishes it: it is one of ours.
async function hasPending(archive: string): Promise<boolean> {
  const dir = dirname(archive)
  for (const name of (await readdir(dir)).filter(isPendingName)) {
    const pending = await readPending(join(dir, name))
    if (pending?.archive.file === basename(archive)) return true
  }
  return false
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
