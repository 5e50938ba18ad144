// The beginning of a run that writes to a carry directory: it has to be the
// only one there, and clears up after one that was killed. An archive that was
// put in place without its metadata gets it from the temporary file.
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { remove } from 'fs-extra/esm'

import { isArchiveName, recordName } from './archive-name.ts'
import { formatRecord, parseRecord, type ArchiveRecord } from './archive-record.ts'
import { isPendingName, isTemporaryName } from './atomic-file.ts'
import {
  checkDirectory,
  isListed,
  placeRecord,
  readChecksums,
  removeChecksums,
} from './carry-directory.ts'
import { lockDirectory } from './directory-lock.ts'
import { ToolError, nothing } from './errors.ts'
import { hashFile } from './file-range.ts'
import { findLost } from './missing-files.ts'
import type { VerbContext } from './outcome.ts'

/**
 * Makes sure that this run is the only one that writes there, and finishes or
 * removes what a killed one left.
 *
 * @param program - who wants to write, for those who are refused meanwhile
 * @returns a function that lets others write again
 * @throws NO_DIRECTORY, BUSY or NOT_WRITABLE; INTERRUPTED
 */
export async function openForWriting(
  dir: string,
  program: string,
  context: VerbContext,
): Promise<() => Promise<void>> {
  await checkDirectory(dir)
  const unlock = await lockDirectory(dir, program)
  try {
    // What is wrong with SHA256SUMS is not to be found out after hours.
    await readChecksums(dir)
    const left = (await readdir(dir)).filter(isTemporaryName)
    for (const name of left.filter(isPendingName)) await finishCommit(dir, name, context)
    for (const name of left) await remove(join(dir, name))
    await dropLost(dir, context)
  } catch (error) {
    await unlock()
    throw error
  }
  return unlock
}

const MAX_WARNINGS = 10

// Whoever removed a file by hand does not miss it at the other end.
async function dropLost(dir: string, { notify }: VerbContext): Promise<void> {
  const lost = await findLost(dir)
  if (lost.length === 0) return
  await removeChecksums(dir, lost)
  for (const name of lost.slice(0, MAX_WARNINGS)) {
    const text = `"${name}" is not there any more: its line in SHA256SUMS is dropped`
    notify({ type: 'warning', text })
  }
  const more = lost.length - MAX_WARNINGS
  if (more > 0) notify({ type: 'warning', text: `so are the lines of ${more} more files` })
}

// A run that was ended had its archive in place, but not yet all that belongs to it.
async function finishCommit(dir: string, name: string, context: VerbContext): Promise<void> {
  const record = await readPending(join(dir, name))
  if (!record) return
  const { file, sizeBytes, sha256 } = record.archive
  const archive = join(dir, file)
  const found = await stat(archive).catch(nothing)
  if (!found?.isFile() || found.size !== sizeBytes) return
  const inPlace = await readFile(recordName(archive), 'utf8').catch(nothing)
  if (inPlace === formatRecord(record) && (await isListed(archive, record))) return
  const text = `checking "${file}": a run was ended before it wrote the metadata of an archive`
  context.notify({ type: 'remark', text })
  if ((await hashFile(archive, context.signal)) === sha256) await placeRecord(archive, record)
}

async function readPending(path: string): Promise<ArchiveRecord | undefined> {
  try {
    const record = parseRecord(await readFile(path, 'utf8'), path)
    return isArchiveName(record.archive.file) ? record : undefined
  } catch (error) {
    // It was ended before all of it was written.
    if (error instanceof ToolError) return undefined
    throw error
  }
}
