// The carry directory: archives, their records and SHA256SUMS, kept such that
// at any moment a crash leaves archives that are whole, and none with the
// record or the checksum of another.
import { createHash } from 'node:crypto'
import { readFile, readdir, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

import { SUMS_NAME, isArchiveName, recordName } from './archive-name.ts'
import { formatRecord, parseRecord, type ArchiveRecord } from './archive-record.ts'
import {
  createAtomicFile,
  removeTemporaries,
  syncDirectory,
  writeFileAtomic,
  type AtomicFile,
} from './atomic-file.ts'
import { isSameCoding, type Coding } from './codec.ts'
import { parseChecksums, SUMS_ENCODING, updateChecksums } from './checksum-file.ts'
import { lockDirectory } from './directory-lock.ts'
import { ToolError, nothing } from './errors.ts'
import { readText } from './file-range.ts'
import type { VerbContext } from './outcome.ts'

/**
 * Makes sure that this run is the only one that writes there, and clears what
 * a killed one left.
 *
 * @returns a function that lets others write again
 * @throws NO_DIRECTORY, BUSY or NOT_WRITABLE
 */
export async function openForWriting(dir: string): Promise<() => Promise<void>> {
  await checkDirectory(dir)
  const unlock = await lockDirectory(dir)
  try {
    await removeTemporaries(dir)
    // What is wrong with it is not to be found out after hours.
    await readSums(dir)
    const probe = await createAtomicFile(dir)
    await probe.discard()
  } catch (error) {
    await unlock()
    throw error
  }
  return unlock
}

/** @throws NO_DIRECTORY where there is none */
export async function checkDirectory(dir: string): Promise<void> {
  const found = await stat(dir).catch(nothing)
  if (found?.isDirectory()) return
  throw new ToolError('NO_DIRECTORY', `open "${dir}": there is no such directory`, {
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
 * @returns its record, or undefined where there is none
 * @throws BAD_RECORD
 */
export async function readRecord(archive: string): Promise<ArchiveRecord | undefined> {
  const text = await readText(recordName(archive)).catch(nothing)
  return text === undefined ? undefined : parseRecord(text, basename(recordName(archive)))
}

/** @returns whether the archive of this record is there and need not be made again. */
export async function isUpToDate(
  archive: string,
  record: ArchiveRecord,
  { force, coding, notify }: Pick<VerbContext, 'notify'> & { force: boolean; coding: Coding },
): Promise<boolean> {
  if (force || !isSameCoding(record.archive, coding)) return false
  const found = await stat(archive).catch(() => undefined)
  if (found?.size !== record.archive.sizeBytes) return false
  const listed = await readChecksums(dirname(archive))
  const sums = [...(await checksumsOf(archive, record))]
  // What is not listed may be so by a crash; what was listed was right then.
  const changed = sums.find(([name, sha256]) => (listed.get(name) ?? sha256) !== sha256)
  if (!changed) return true
  const text = `"${archive}" is not up to date: SHA256SUMS has another sha256 for it or its record`
  notify({ type: 'warning', text })
  return false
}

/** @returns the checksums that SHA256SUMS in a directory lists. */
export async function readChecksums(dir: string): Promise<Map<string, string>> {
  return parseChecksums(await readSums(dir))
}

/**
 * Puts a finished archive in place, with its record and checksums. The old
 * record and checksums go first: an archive without them is still an archive.
 */
export async function commitArchive(
  archive: string,
  file: AtomicFile,
  record: ArchiveRecord,
): Promise<void> {
  const dir = dirname(archive)
  const names = [basename(archive), basename(recordName(archive))]
  // Where there is no room for it, the old archive stays.
  const recordFile = await createAtomicFile(dir)
  try {
    await recordFile.handle.writeFile(formatRecord(record))
    await recordFile.finish()
    await changeSums(dir, new Map(names.map((name) => [name, undefined])))
    await rm(recordName(archive), { force: true })
    await file.commit(archive)
    await recordFile.commit(recordName(archive))
  } finally {
    await recordFile.discard()
  }
  await syncDirectory(dir)
  await listChecksums(archive, record)
}

/**
 * Takes an archive away, with its record and checksums.
 *
 * @returns whether there was one
 */
export async function removeArchive(archive: string): Promise<boolean> {
  if (!(await stat(archive).catch(nothing))) return false
  const names = [basename(archive), basename(recordName(archive))]
  await changeSums(dirname(archive), new Map(names.map((name) => [name, undefined])))
  // Without its record, the next run would not know it for one to be removed.
  await rm(archive, { force: true })
  await rm(recordName(archive), { force: true })
  return true
}

/** Makes sure that SHA256SUMS lists an archive and its record: a crash may have come before that. */
export async function listChecksums(archive: string, record: ArchiveRecord): Promise<void> {
  await changeSums(dirname(archive), await checksumsOf(archive, record))
}

async function checksumsOf(archive: string, record: ArchiveRecord): Promise<Map<string, string>> {
  const text = await readFile(recordName(archive))
  return new Map([
    [basename(archive), record.archive.sha256],
    [basename(recordName(archive)), createHash('sha256').update(text).digest('hex')],
  ])
}

async function changeSums(
  dir: string,
  changes: ReadonlyMap<string, string | undefined>,
): Promise<void> {
  const before = await readSums(dir)
  const listed = parseChecksums(before)
  if ([...changes].every(([name, sha256]) => listed.get(name) === sha256)) return
  const text = updateChecksums(before, changes)
  await writeFileAtomic(join(dir, SUMS_NAME), Buffer.from(text, SUMS_ENCODING))
}

async function readSums(dir: string): Promise<string> {
  return (await readText(join(dir, SUMS_NAME), SUMS_ENCODING).catch(nothing)) ?? ''
}
