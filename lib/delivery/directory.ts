// The delivery: archives, their metadata and SHA256SUMS. Each archive is
// replaced whole, and before its metadata and checksums: what fails leaves all
// three as they were, and what is ended in between is finished by the next run.
import { lstat, readdir, rename, rm, stat, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

import { SUMS_NAME, isArchiveName, metadataName } from './name.ts'
import { formatMetadata, parseMetadata, type ArchiveMetadata } from './metadata.ts'
import {
  createAtomicFile,
  syncDirectory,
  temporaryPath,
  writeFileAtomic,
  type AtomicFile,
} from '../io/atomic-file.ts'
import { isSameCoding, type Coding } from '../codec/formats.ts'
import {
  dropFiles,
  parseChecksums,
  SUMS_ENCODING,
  updateChecksums,
  type ListedFile,
} from './sha256sums.ts'
import { checkLock } from '../io/directory-lock.ts'
import { ToolError, ignoreNotFound } from '../core/errors.ts'
import { hashFile } from '../io/file-range.ts'
import type { VerbContext } from '../core/outcome.ts'
import {
  MAX_METADATA_BYTES,
  MAX_SUMS_BYTES,
  readSmallFile,
  sha256Of,
  type SmallFile,
} from '../io/small-file.ts'

/** @throws NO_DIRECTORY where there is none */
export async function checkDirectory(dir: string): Promise<void> {
  const found = await stat(dir).catch(ignoreNotFound)
  if (found?.isDirectory()) return
  throw new ToolError('NO_DIRECTORY', `directory not found: "${dir}"`, {
    hint: 'check its name, mount the disk, or make it with mkdir',
  })
}

/** @returns the file names of the archives there, sorted. */
export async function listArchives(dir: string): Promise<string[]> {
  return (await readdir(dir))
    .filter((name) => isArchiveName(name) && !name.startsWith('.'))
    .toSorted()
}

/**
 * @param archive - path of an archive
 * @returns its metadata, or undefined if there is none
 * @throws BAD_RECORD, BAD_FILE
 */
export async function readMetadata(archive: string): Promise<ArchiveMetadata | undefined> {
  const file = metadataName(archive)
  const found = await readSmallFile(file, { maxBytes: MAX_METADATA_BYTES })
  return found && parseMetadata(found.bytes.toString('utf8'), basename(file))
}

/** @returns the metadata of an archive that is being put in place, or undefined if it was not written to its end. */
export async function readPending(path: string): Promise<ArchiveMetadata | undefined> {
  try {
    const found = await readSmallFile(path, { maxBytes: MAX_METADATA_BYTES })
    const metadata = found && parseMetadata(found.bytes.toString('utf8'), path)
    return metadata && isArchiveName(metadata.archive.file) ? metadata : undefined
  } catch (error) {
    if (error instanceof ToolError) return undefined
    throw error
  }
}

/** @returns whether the archive of this metadata is there and need not be made again. */
export async function isUpToDate(
  archive: string,
  metadata: ArchiveMetadata,
  { force, coding, notify, signal }: VerbContext & { force: boolean; coding: Coding },
): Promise<boolean> {
  if (force || !isSameCoding(metadata.archive, coding)) return false
  const found = await lstat(archive).catch(ignoreNotFound)
  if (!found?.isFile() || found.size !== metadata.archive.sizeBytes) return false
  const listed = await readChecksums(dirname(archive))
  const sums = [...(await checksumsOf(archive, metadata))]
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

/** @returns the checksums that SHA256SUMS in a directory lists. */
export async function readChecksums(dir: string): Promise<Map<string, string>> {
  return parseChecksums(await readSums(dir))
}

/**
 * Puts a finished archive in place, with its metadata and checksums. Its metadata
 * waits in a temporary file until all is done: by it, the next run finishes
 * what a crash cut short.
 *
 * @throws BUSY where this run has lost the directory's lock. What fails before
 *   the archive is in place leaves the old one, its metadata and its checksums.
 */
export async function commitArchive(
  archive: string,
  file: AtomicFile,
  metadata: ArchiveMetadata,
): Promise<void> {
  const dir = dirname(archive)
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
    await syncDirectory(dir)
    await checkLock(dir)
    await metadataFile.commit(metadataName(archive))
    await syncDirectory(dir)
    await listChecksums(archive, metadata)
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
export async function placeMetadata(archive: string, metadata: ArchiveMetadata): Promise<void> {
  const dir = dirname(archive)
  await checkLock(dir)
  await writeFileAtomic(metadataName(archive), formatMetadata(metadata))
  await syncDirectory(dir)
  await listChecksums(archive, metadata)
}

/**
 * Takes an archive away, with its metadata and checksums.
 *
 * @returns whether there was one
 * @throws BUSY where this run has lost the directory's lock
 */
export async function removeArchive(archive: string): Promise<boolean> {
  if (!(await lstat(archive).catch(ignoreNotFound))) return false
  const dir = dirname(archive)
  await checkLock(dir)
  // From there the next run puts it back if the archive is still there.
  const aside = await temporaryPath(dir, 'metadata')
  await rename(metadataName(archive), aside).catch(ignoreNotFound)
  try {
    await unlink(archive)
  } catch (error) {
    await rename(aside, metadataName(archive)).catch(ignoreNotFound)
    throw error
  }
  await removeChecksums(dir, [basename(archive), basename(metadataName(archive))])
  await rm(aside, { force: true })
  return true
}

/**
 * Takes out what there is of an archive: itself, its metadata, its checksums.
 *
 * @throws BUSY where this run has lost the directory's lock
 */
export async function forgetArchive(archive: string): Promise<void> {
  if (await removeArchive(archive)) return
  const dir = dirname(archive)
  await checkLock(dir)
  await rm(metadataName(archive), { force: true })
  await removeChecksums(dir, [basename(archive), basename(metadataName(archive))])
}

/** Takes files out of SHA256SUMS. */
export async function removeListed(dir: string, files: readonly ListedFile[]): Promise<void> {
  const { text, ...others } = await readSumsToChange(dir)
  await writeSums(dir, dropFiles(text, files, others))
}

function removeChecksums(dir: string, names: readonly string[]): Promise<void> {
  return changeSums(dir, new Map(names.map((name) => [name, undefined])))
}

/** Makes sure that SHA256SUMS lists an archive and its metadata: a crash may have come before that. */
export async function listChecksums(archive: string, metadata: ArchiveMetadata): Promise<void> {
  await changeSums(dirname(archive), await checksumsOf(archive, metadata))
}

/** @returns whether SHA256SUMS has the checksums of an archive and its metadata. */
export async function isListed(archive: string, metadata: ArchiveMetadata): Promise<boolean> {
  const listed = await readChecksums(dirname(archive))
  const sums = await checksumsOf(archive, metadata)
  return [...sums].every(([name, sha256]) => listed.get(name) === sha256)
}

async function checksumsOf(
  archive: string,
  metadata: ArchiveMetadata,
): Promise<Map<string, string>> {
  const file = metadataName(archive)
  const found = await readSmallFile(file, { maxBytes: MAX_METADATA_BYTES })
  return new Map([
    [basename(archive), metadata.archive.sha256],
    // Gone since it was read: whoever looks for it finds that it is listed.
    [basename(file), found?.sha256 ?? sha256Of(formatMetadata(metadata))],
  ])
}

/**
 * @param changes - sha256 by file name; undefined takes a name out
 * @throws BUSY where this run has lost the directory's lock
 */
export async function changeSums(
  dir: string,
  changes: ReadonlyMap<string, string | undefined>,
): Promise<void> {
  const { text: before, ...others } = await readSumsToChange(dir)
  const listed = parseChecksums(before)
  if ([...changes].every(([name, sha256]) => listed.get(name) === sha256)) return
  await writeSums(dir, updateChecksums(before, changes, others))
}

async function writeSums(dir: string, text: string): Promise<void> {
  await checkLock(dir)
  // `sha256sum -c` takes a file without any line for a fault.
  if (text === '') await rm(join(dir, SUMS_NAME), { force: true })
  else await writeFileAtomic(join(dir, SUMS_NAME), Buffer.from(text, SUMS_ENCODING))
}

/** @returns the text of SHA256SUMS in a directory, empty where there is none. */
export async function readSums(dir: string): Promise<string> {
  return (await readSumsFile(dir))?.bytes.toString(SUMS_ENCODING) ?? ''
}

// What stands in another's file, under another name of it, is not to be told to all.
async function readSumsToChange(dir: string): Promise<{ text: string; keepOthers: boolean }> {
  const found = await readSumsFile(dir)
  const text = found?.bytes.toString(SUMS_ENCODING) ?? ''
  return { text, keepOthers: !found?.isForeign }
}

function readSumsFile(dir: string): Promise<SmallFile | undefined> {
  return readSmallFile(join(dir, SUMS_NAME), { maxBytes: MAX_SUMS_BYTES })
}
