// Makes the changes of a run in a delivery: to archives, their metadata and SHA256SUMS. An
// archive is replaced as a whole, before its metadata and checksums. A failure before that
// leaves all three as they were. After an interruption in between, the next run finishes the
// change.
import { lstat, rename, rm, unlink } from 'node:fs/promises'
import { basename, join } from 'node:path'

import { ignoreNotFound } from '../core/errors.ts'
import {
  createAtomicFile,
  syncDirectory,
  temporaryPath,
  writeFileAtomic,
  type AtomicFile,
} from '../io/atomic-file.ts'
import { checkLock } from '../io/directory-lock.ts'
import { sha256Of } from '../io/small-file.ts'
import type { Directory } from './directory.ts'
import { formatMetadata, type ArchiveMetadata } from './metadata.ts'
import { metadataName } from './name.ts'

/**
 * Puts a written archive in place, with its metadata and checksums. The metadata stays in a
 * temporary file as well until everything is in place: after a crash, the next run finishes the
 * change with that file. A failure before the archive is in place leaves the old archive, its
 * metadata and its checksums.
 *
 * @param file - the archive; it is synced and closed here
 * @throws BUSY if this run has lost the lock of the directory
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
    // All three are written first: if the disk has no room for them, the old archive stays.
    const [pending, metadataFile] = await syncTogether(dir, text, file)
    temporaries.push(pending, metadataFile)
    // Some file systems do not keep the order of changes, and the pending metadata has to be on
    // disk before the archive.
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

// Side by side: each of the three waits for the disk.
async function syncTogether(
  dir: string,
  text: string,
  archive: AtomicFile,
): Promise<[pending: AtomicFile, metadataFile: AtomicFile]> {
  const [pending, metadataFile, synced] = await Promise.allSettled([
    writeTemporary(dir, text, 'metadata'),
    writeTemporary(dir, text),
    archive.finish(),
  ])
  try {
    if (synced.status === 'rejected') throw synced.reason
    if (pending.status === 'rejected') throw pending.reason
    if (metadataFile.status === 'rejected') throw metadataFile.reason
    return [pending.value, metadataFile.value]
  } catch (error) {
    for (const each of [pending, metadataFile]) {
      if (each.status === 'fulfilled') await each.value.discard()
    }
    throw error
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
 * Writes the metadata of an archive that is in place, and lists both in SHA256SUMS.
 *
 * @throws BUSY if this run has lost the lock of the directory
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
 * Removes an archive, its metadata and its checksums.
 *
 * @returns false if there was no archive; then nothing is changed
 * @throws BUSY if this run has lost the lock of the directory
 */
export async function removeArchive(directory: Directory, archive: string): Promise<boolean> {
  if (!(await lstat(archive).catch(ignoreNotFound))) return false
  const { dir } = directory
  await checkLock(dir)
  // If this run is killed before it removes the archive, the next run restores the metadata
  // from this pending file.
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
 * Removes what there is of an archive: the archive, its metadata, its checksums. Any of them
 * may be missing.
 *
 * @throws BUSY if this run has lost the lock of the directory
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

/**
 * Lists an archive and its metadata in SHA256SUMS, unless they are there: a run may have
 * crashed before it did so.
 */
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
    // If the metadata file is gone, its sha256 is computed from its content. It stays listed,
    // so that a check reports it as missing.
    [basename(metadataName(archive)), sum ?? sha256Of(formatMetadata(metadata))],
  ])
}
