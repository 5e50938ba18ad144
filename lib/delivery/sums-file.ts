// SHA256SUMS of a directory that a run writes to: read once, asked from memory. Before it
// is replaced it is read again: what somebody else wrote into it meanwhile stays.
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
   * @returns the checksums that it lists, none if there is no such file
   * @throws BAD_FILE
   */
  listed(): Promise<Checksums>
  /** @returns its text, in {@link SUMS_ENCODING}, empty if there is none; throws as {@link SumsFile.listed} */
  text(): Promise<string>
  /**
   * Writes it if something in it changes.
   *
   * @param changes - sha256 by file name; undefined takes a name out
   * @throws BUSY if this run has lost the lock of the directory
   */
  change(changes: ReadonlyMap<string, string | undefined>): Promise<void>
  /** Takes files out of it; throws as {@link SumsFile.change} */
  remove(files: readonly ListedFile[]): Promise<void>
  /** Has it read again. */
  renew(): void
}

interface Sums extends OtherLines {
  readonly text: string
  /** Of the text. */
  readonly sha256: string
  readonly listed: Checksums
}

const NONE = toSums(Buffer.alloc(0))

/** @returns SHA256SUMS of a directory, which is read when it is first asked */
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
    // `sha256sum -c` takes a file without any line for a fault.
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
  // What stands in another's file, under another name of it, is not to be told to all.
  const keepOthers = !found.isForeign
  return found.sha256 === known.sha256
    ? { ...known, keepOthers }
    : { ...toSums(found.bytes), keepOthers }
}

function toSums(bytes: Buffer): Sums {
  const text = bytes.toString(SUMS_ENCODING)
  return { text, sha256: sha256Of(bytes), listed: parseChecksums(text), keepOthers: true }
}
