// Handles the image list in a delivery. A save copies its list there, so that a load takes
// exactly these images. If a user's own file has that name, it is left alone.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'

import { ToolError } from '../core/errors.ts'
import { writeFileAtomic } from '../io/atomic-file.ts'
import { checkLock } from '../io/directory-lock.ts'
import { MAX_LIST_BYTES, readSmallFile, sha256Of, type SmallFile } from '../io/small-file.ts'
import type { Directory } from './directory.ts'
import { entryOf, parseImageList } from './image-list.ts'
import { LIST_NAME } from './name.ts'
import { noteOffList } from './off-list.ts'

/**
 * @param list - the list that the save used
 * @returns a sentence that says why the list was not put into the delivery; undefined if it was
 * @throws BUSY if this run has lost the lock of the directory; NO_SPACE; NOT_WRITABLE
 */
export async function placeList(directory: Directory, list: Buffer): Promise<string | undefined> {
  const { dir, sums } = directory
  const path = join(dir, LIST_NAME)
  const found = await readHere(path)
  if (found instanceof ToolError) return `${found.message}: it is not a list of the delivery`
  const isSame = found?.bytes.equals(list)
  if (found && !isSame && !(await isListed(directory, found))) {
    return `"${path}" is another list, or was changed by hand: it stays. ${takenUntil(path)}`
  }
  if (!isSame) await write(dir, list)
  await sums.change(new Map([[LIST_NAME, sha256Of(list)]]))
  return undefined
}

/**
 * Removes images from the list of a delivery, if a save put the list there.
 *
 * @param references - the images, written as in the list
 * @returns what happened to the list; undefined if it named none of the images
 */
export async function takeOffList(
  directory: Directory,
  references: ReadonlySet<string>,
): Promise<string | undefined> {
  const { dir, sums } = directory
  const found = await readHere(join(dir, LIST_NAME))
  if (!found || found instanceof ToolError) return undefined
  const lines = found.bytes.toString('utf8').split('\n')
  const kept = lines.filter((line) => !references.has(entryOf(line)))
  if (kept.length === lines.length) return undefined
  // A save did not write this list, or a user has changed it: the user has to edit it.
  if (!(await isListed(directory, found))) return `${LIST_NAME} here still names it`
  const list = Buffer.from(kept.join('\n'))
  // Other lines, such as comments, are kept. The file is removed only if nothing is left in it.
  const isEmpty = list.toString().trim() === ''
  if (isEmpty) {
    await checkLock(dir)
    await rm(join(dir, LIST_NAME))
  } else await write(dir, list)
  await sums.change(new Map([[LIST_NAME, isEmpty ? undefined : sha256Of(list)]]))
  return `taken off ${LIST_NAME}`
}

/**
 * @returns a sentence that says why a load does not take all archives here: some are not on the
 *   list, or the list is not usable or not listed in SHA256SUMS; undefined if a load takes all
 */
export async function noteLeftOut(directory: Directory): Promise<string | undefined> {
  const path = join(directory.dir, LIST_NAME)
  const found = await readHere(path)
  if (!found || found instanceof ToolError) return found?.message
  if (!(await isListed(directory, found))) {
    return `SHA256SUMS does not have "${path}" as it is. ${takenUntil(path)}`
  }
  try {
    const references = parseImageList(found.bytes.toString('utf8'), LIST_NAME)
    return noteOffList(await directory.archives(), references)
  } catch (error) {
    if (error instanceof ToolError) return error.message
    throw error
  }
}

function takenUntil(path: string): string {
  return `Verify and load take nothing here until you save with --list "${path}", or move it away`
}

async function readHere(path: string): Promise<SmallFile | ToolError | undefined> {
  try {
    return await readSmallFile(path, { maxBytes: MAX_LIST_BYTES })
  } catch (error) {
    if (error instanceof ToolError) return error
    throw error
  }
}

async function isListed({ sums }: Directory, { sha256 }: SmallFile): Promise<boolean> {
  return (await sums.listed()).get(LIST_NAME) === sha256
}

async function write(dir: string, list: Buffer): Promise<void> {
  await checkLock(dir)
  await writeFileAtomic(join(dir, LIST_NAME), list)
}
