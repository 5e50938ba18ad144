// Begins a run that writes to a delivery. It locks the directory, and cleans up after a killed
// run. If that run put an archive in place without its metadata, the metadata is written from
// the temporary file.
import { lstat, readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'

import { ignoreNotFound, toToolError } from '../core/errors.ts'
import type { VerbContext } from '../core/outcome.ts'
import { readPending } from '../delivery/catalog.ts'
import { isListed, placeMetadata } from '../delivery/commit.ts'
import { checkDirectory, type Directory } from '../delivery/directory.ts'
import { formatMetadata, type ArchiveMetadata } from '../delivery/metadata.ts'
import { isMetadataName, describedArchive } from '../delivery/name.ts'
import { hashArchive, archiveAt } from '../io/archive-file.ts'
import { isLockTemporary, isPendingName, isTemporaryName } from '../io/atomic-file.ts'
import { lockDirectory, removeOldLockFiles } from '../io/directory-lock.ts'
import { findLost } from './missing-files.ts'

/**
 * Locks a delivery, and finishes or removes what a killed run left.
 *
 * @param program - the name of this program, for the message to other runs
 * @returns a function that unlocks it
 * @throws NO_DIRECTORY, BUSY, NOT_WRITABLE, INTERRUPTED
 */
export async function openForWriting(
  directory: Directory,
  program: string,
  context: VerbContext,
): Promise<() => Promise<void>> {
  const { dir, sums } = directory
  await checkDirectory(dir)
  const onWait = (text: string): void => context.notify({ type: 'remark', text })
  const unlock = await lockDirectory(dir, program, { onWait })
  try {
    // Until the lock was taken, another run may have written there.
    directory.renew()
    // An unreadable SHA256SUMS is found now, not after hours.
    await sums.listed()
    await removeOldLockFiles(dir)
    const names = await readdir(dir)
    const left = names.filter((name) => isTemporaryName(name) && !isLockTemporary(name))
    for (const name of left.filter(isPendingName)) await finishCommit(directory, name, context)
    for (const name of left) await unlink(join(dir, name))
    await dropLost(directory, context)
  } catch (error) {
    await unlock()
    throw error
  }
  return unlock
}

// Drops the lines of files that somebody removed by hand: otherwise the air-gapped host would
// report them as missing.
async function dropLost(directory: Directory, { notify }: VerbContext): Promise<void> {
  const { dir, sums } = directory
  const found = await findLost(dir, await sums.text())
  const lost = found.filter(({ doubt }) => !doubt)
  if (lost.length > 0) await sums.remove(lost)
  for (const { name, doubt } of found) {
    const dropped = `"${name}" is not there any more: its line in SHA256SUMS is dropped`
    notify({ type: 'warning', text: doubt?.message ?? dropped })
  }
  const names = await directory.names()
  const alone = [...names].filter(
    (name) => isMetadataName(name) && !names.has(describedArchive(name)),
  )
  for (const name of alone.filter((each) => !each.startsWith('.'))) {
    const text = `"${name}" lies here without its archive: --forget takes it out`
    notify({ type: 'warning', text })
  }
}

// Finishes an archive that a killed run put in place without its metadata and checksums.
async function finishCommit(
  directory: Directory,
  name: string,
  context: VerbContext,
): Promise<void> {
  const { dir } = directory
  const metadata = await readPending(join(dir, name))
  if (!metadata) return
  const { file, sizeBytes, sha256 } = metadata.archive
  const archive = join(dir, file)
  const found = await lstat(archive).catch(ignoreNotFound)
  if (!found?.isFile() || found.size !== sizeBytes) return
  if (await isInPlace(directory, archive, metadata)) return
  const text = `checking "${file}": a run was ended before it wrote the metadata of an archive`
  context.notify({ type: 'remark', text })
  if ((await hashArchive(archiveAt(archive), context.signal)) !== sha256) return
  await placeMetadata(directory, metadata)
}

async function isInPlace(
  directory: Directory,
  archive: string,
  metadata: ArchiveMetadata,
): Promise<boolean> {
  const found = await directory.metadataOf(archive).catch((error: unknown) => {
    // Metadata that cannot be read is written anew.
    if (!toToolError(error)) throw error
  })
  return found && formatMetadata(found) === formatMetadata(metadata)
    ? isListed(directory, archive, metadata)
    : false
}
