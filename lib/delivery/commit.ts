// What a run changes in a delivery: archives, their metadata and SHA256SUMS. Each archive
// is replaced whole, and before its metadata and checksums: what fails leaves all
// three as they were, and what is ended in between is finished by the next run.
import { lstat, rename, rm, unlink } from 'node:fs/promises'
import { basename, join } from 'node:path'

import {
  createAtomicFile,
  syncDirectory,
  temporaryPath,
  writeFileAtomic,
  type AtomicFile,
} from '../io/atomic-file.ts'
import { checkLock } from '../io/directory-lock.ts'
import { ignoreNotFound } from '../core/errors.ts'
import { sha256Of } from '../io/small-file.ts'
import type { Directory } from './directory.ts'
import { formatMetadata, type ArchiveMetadata } from './metadata.ts'
import { metadataName } from './name.ts'

/**
 * Puts a finished archive in place, with its metadata and checksums. Its metadata
 * waits in a temporary file until all is done: by it, the next run finishes
 * what a crash cut short.
 *
 * @throws BUSY where this run has lost the directory's lock. What fails before
 *   the archive is in place leaves the old one, its metadata and its checksums.
 */
export async function commitArchive(
  directory: Directory,
  file: AtomicFile,
  metadata: ArchiveMetadata,
): Promise<void> {
  const { dir } = directory
  const archive = join(dir, metadata.archive.file)
  const text = formatMetadata(metadata)
  const temporaries: AtomicFile[] = []
  let isReplaced = false
  try {
    // Where there is no room for them, the old archive stays.
    const pending = await writeTemporary(dir, text, 'metadata')
    temporaries.push(pending)
    const metadataFile = await writeTemporary(dir, text)
    temporaries.push(metadataFile)
    // Some file systems keep no order: the pending metadata has to be there first.
    await syncDirectory(dir)
    await checkLock(dir)
    await file.commit(archive)
    isReplaced = true
    directory.noteUnknown(archive)
    await syncDirectory(dir)
    await checkLock(dir)
    await metadataFile.commit(metadataName(archive))
    directory.noteWritten(archive, metadata, text)
    await syncDirectory(dir)
    await listChecksums(directory, archive, metadata)
    isReplaced = false
  } finally {
    for (const each of temporaries.slice(isReplaced ? 1 : 0)) await each.discard()
  }
}

async function writeTemporary(dir: string, text: string, kind?: 'metadata'): Promise<AtomicFile> {
  const file = await createAtomicFile(dir, kind)
  try {
    await file.handle.writeFile(text)
    await file.finish()
    return file
  } catch (error) {
    await file.discard()
    throw error
  }
}

/**
 * Puts the metadata of an archive that is in place beside it, and lists both.
 *
 * @throws BUSY where this run has lost the directory's lock
 */
export async function placeMetadata(
  directory: Directory,
  metadata: ArchiveMetadata,
): Promise<void> {
  const { dir } = directory
  const archive = join(dir, metadata.archive.file)
  const text = formatMetadata(metadata)
  await checkLock(dir)
  await writeFileAtomic(metadataName(archive), text)
  directory.noteWritten(archive, metadata, text)
  await syncDirectory(dir)
  await listChecksums(directory, archive, metadata)
}

/**
 * Takes an archive away, with its metadata and checksums.
 *
 * @returns whether there was one
 * @throws BUSY where this run has lost the directory's lock
 */
export async function removeArchive(directory: Directory, archive: string): Promise<boolean> {
  if (!(await lstat(archive).catch(ignoreNotFound))) return false
  const { dir } = directory
  await checkLock(dir)
  // From there the next run puts it back if the archive is still there.
  const aside = await temporaryPath(dir, 'metadata')
  await rename(metadataName(archive), aside).catch(ignoreNotFound)
  directory.noteUnknown(archive)
  try {
    await unlink(archive)
  } catch (error) {
    await rename(aside, metadataName(archive)).catch(ignoreNotFound)
    throw error
  }
  directory.noteRemoved(archive)
  await removeChecksums(directory, archive)
  await rm(aside, { force: true })
  return true
}

/**
 * Takes out what there is of an archive: itself, its metadata, its checksums.
 *
 * @throws BUSY where this run has lost the directory's lock
 */
export async function forgetArchive(directory: Directory, archive: string): Promise<void> {
  if (await removeArchive(directory, archive)) return
  await checkLock(directory.dir)
  await rm(metadataName(archive), { force: true })
  directory.noteRemoved(archive)
  await removeChecksums(directory, archive)
}

function removeChecksums({ sums }: Directory, archive: string): Promise<void> {
  const both = [basename(archive), basename(metadataName(archive))]
  return sums.change(new Map(both.map((name) => [name, undefined])))
}

/** Makes sure that SHA256SUMS lists an archive and its metadata: a crash may have come before that. */
export async function listChecksums(
  directory: Directory,
  archive: string,
  metadata: ArchiveMetadata,
): Promise<void> {
  await directory.sums.change(await checksumsOf(directory, archive, metadata))
}

/** @returns whether SHA256SUMS has the checksums of an archive and its metadata. */
export async function isListed(
  directory: Directory,
  archive: string,
  metadata: ArchiveMetadata,
): Promise<boolean> {
  const listed = await directory.sums.listed()
  const sums = await checksumsOf(directory, archive, metadata)
  return [...sums].every(([name, sha256]) => listed.get(name) === sha256)
}

/** @returns the sha256 of an archive and of its metadata, in hex by file name */
export async function checksumsOf(
  directory: Directory,
  archive: string,
  metadata: ArchiveMetadata,
): Promise<Map<string, string>> {
  const sum = await directory.metadataSum(archive)
  return new Map([
    [basename(archive), metadata.archive.sha256],
    // Gone since it was read: whoever looks for it finds that it is listed.
    [basename(metadataName(archive)), sum ?? sha256Of(formatMetadata(metadata))],
  ])
}
