// The list in a delivery: what a save followed is carried with the archives, so that a
// load takes just that. Somebody's own file of that name is left alone.
import { join } from 'node:path'
import { rm } from 'node:fs/promises'

import { LIST_NAME } from './name.ts'
import { writeFileAtomic } from '../io/atomic-file.ts'
import type { Directory } from './directory.ts'
import { checkLock } from '../io/directory-lock.ts'
import { ToolError } from '../core/errors.ts'
import { entryOf, parseImageList } from './image-list.ts'
import { noteOffList } from './off-list.ts'
import { MAX_LIST_BYTES, readSmallFile, sha256Of, type SmallFile } from '../io/small-file.ts'

/**
 * @param list - what a save followed
 * @returns why it was not put into the delivery, a sentence; undefined if it was
 * @throws BUSY where this run has lost the directory's lock; NO_SPACE, NOT_WRITABLE
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
 * Takes images off the list of a delivery, if a save put it there.
 *
 * @param references - as they stand in the list
 * @returns what became of the list, if one of them stood there
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
  // Somebody's own, or changed by hand: it is for a person to change.
  if (!(await isListed(directory, found))) return `${LIST_NAME} here still names it`
  const list = Buffer.from(kept.join('\n'))
  // What somebody wrote beside the names stays.
  const isEmpty = list.toString().trim() === ''
  if (isEmpty) {
    await checkLock(dir)
    await rm(join(dir, LIST_NAME))
  } else await write(dir, list)
  await sums.change(new Map([[LIST_NAME, isEmpty ? undefined : sha256Of(list)]]))
  return `taken off ${LIST_NAME}`
}

/**
 * @returns what keeps a load from taking all archives, a sentence: those that are not on
 *   the list of the delivery, or a list that is none of it; undefined if nothing does
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
