// The SHA256SUMS of a directory that a run writes to. It is read once and kept in memory.
// Before it is replaced it is read again, so that lines that somebody else added meanwhile
// stay.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'

import { writeFileAtomic } from '../io/atomic-file.ts'
import { checkLock } from '../io/directory-lock.ts'
import { MAX_SUMS_BYTES, readSmallFile, sha256Of } from '../io/small-file.ts'
import { SUMS_NAME } from './name.ts'
import {
  SUMS_ENCODING,
  dropFiles,
  parseChecksums,
  updateChecksums,
  type Checksums,
  type ListedFile,
  type OtherLines,
} from './sha256sums.ts'

/** SHA256SUMS, as this run knows it. */
export interface SumsFile {
  /**
   * @returns the checksums that the file lists; none if there is no file
   * @throws BAD_FILE if it is not a small plain file
   */
  listed(): Promise<Checksums>
  /**
   * @returns the text of the file, in {@link SUMS_ENCODING}, empty if there is no file; throws
   *   as {@link SumsFile.listed}
   */
  text(): Promise<string>
  /**
   * Writes the file, if these changes change something in it.
   *
   * @param changes - the sha256 for each file name; undefined removes the name
   * @throws BUSY if this run has lost the lock of the directory
   */
  change(changes: ReadonlyMap<string, string | undefined>): Promise<void>
  /** Removes files from the list; throws as {@link SumsFile.change} */
  remove(files: readonly ListedFile[]): Promise<void>
  /** Forgets the file, so that it is read again. */
  renew(): void
}

interface Sums extends OtherLines {
  readonly text: string
  /** The sha256 of the text, in hex. */
  readonly sha256: string
  readonly listed: Checksums
}

const NONE = toSums(Buffer.alloc(0))

/** @returns the SHA256SUMS of a directory; it is read when it is first needed */
export function createSumsFile(dir: string): SumsFile {
  const path = join(dir, SUMS_NAME)
  let known: Promise<Sums> | undefined
  const sums = (): Promise<Sums> => (known ??= readSums(path))

  async function write(update: (before: Sums) => string | undefined): Promise<void> {
    const before = await readSums(path, await sums())
    known = Promise.resolve(before)
    const text = update(before)
    if (text === undefined) return
    await checkLock(dir)
    // `sha256sum -c` reports a file without any line as an error.
    if (text === '') await rm(path, { force: true })
    else await writeFileAtomic(path, Buffer.from(text, SUMS_ENCODING))
    known = Promise.resolve(toSums(Buffer.from(text, SUMS_ENCODING)))
  }
  return {
    listed: async () => (await sums()).listed,
    text: async () => (await sums()).text,
    async change(changes) {
      if (isListed(changes, await sums())) return
      await write((before) =>
        isListed(changes, before) ? undefined : updateChecksums(before.text, changes, before),
      )
    },
    remove: (files) => write((before) => dropFiles(before.text, files, before)),
    renew: () => (known = undefined),
  }
}

function isListed(
  changes: ReadonlyMap<string, string | undefined>,
  { listed }: Pick<Sums, 'listed'>,
): boolean {
  return [...changes].every(([name, sha256]) => listed.get(name) === sha256)
}

async function readSums(path: string, known = NONE): Promise<Sums> {
  const found = await readSmallFile(path, { maxBytes: MAX_SUMS_BYTES })
  if (!found) return NONE
  // A file of another user may hold secrets: only its checksums go into the new file, which
  // everybody can read.
  const keepOthers = !found.isForeign
  return found.sha256 === known.sha256
    ? { ...known, keepOthers }
    : { ...toSums(found.bytes), keepOthers }
}

function toSums(bytes: Buffer): Sums {
  const text = bytes.toString(SUMS_ENCODING)
  return { text, sha256: sha256Of(bytes), listed: parseChecksums(text), keepOthers: true }
}
