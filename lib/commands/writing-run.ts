// The beginning of a run that writes to a delivery: it has to be the
// only one there, and clears up after one that was killed. An archive that was
// put in place without its metadata gets it from the temporary file.
import { lstat, readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'

import { isMetadataName, describedArchive } from '../delivery/name.ts'
import { formatMetadata, type ArchiveMetadata } from '../delivery/metadata.ts'
import { isLockTemporary, isPendingName, isTemporaryName } from '../io/atomic-file.ts'
import { readPending } from '../delivery/catalog.ts'
import { isListed, placeMetadata } from '../delivery/commit.ts'
import { checkDirectory, type Directory } from '../delivery/directory.ts'
import { lockDirectory, removeOldLockFiles } from '../io/directory-lock.ts'
import { ignoreNotFound, toToolError } from '../core/errors.ts'
import { hashFile } from '../io/file-range.ts'
import { findLost } from './missing-files.ts'
import type { VerbContext } from '../core/outcome.ts'

/**
 * Makes sure that this run is the only one that writes there, and finishes or
 * removes what a killed one left.
 *
 * @param program - who wants to write, for those who are refused meanwhile
 * @returns a function that lets others write again
 * @throws NO_DIRECTORY, BUSY or NOT_WRITABLE; INTERRUPTED
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
    // Until now another run may have written there.
    directory.renew()
    // What is wrong with SHA256SUMS is not to be found out after hours.
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

// Whoever removed a file by hand does not miss it at the other end.
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

// A run that was ended had its archive in place, but not yet all that belongs to it.
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
  if ((await hashFile(archive, context.signal)) !== sha256) return
  await placeMetadata(directory, metadata)
}

async function isInPlace(
  directory: Directory,
  archive: string,
  metadata: ArchiveMetadata,
): Promise<boolean> {
  const found = await directory.metadataOf(archive).catch((error: unknown) => {
    // What cannot be read is written anew.
    if (!toToolError(error)) throw error
  })
  return found && formatMetadata(found) === formatMetadata(metadata)
    ? isListed(directory, archive, metadata)
    : false
}
