// Files that are there whole or not at all: written under a temporary name in
// the same directory, synced, then renamed.
import { randomBytes } from 'node:crypto'
import { open, readdir, rename, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { remove } from 'fs-extra/esm'

import { isSystemError } from './errors.ts'

/** A file being written. */
export interface AtomicFile {
  readonly handle: FileHandle
  /** Syncs and closes it; it still has its temporary name. */
  finish(): Promise<void>
  /** Gives a finished file a name in the directory, over what was there. */
  commit(path: string): Promise<void>
  /** Takes it away again; does nothing after a commit. */
  discard(): Promise<void>
}

const TEMPORARY = /^\.dgx-offline-images-[0-9a-f]{16}\.tmp$/

/** @param dir - where it is to lie in the end */
export async function createAtomicFile(dir: string): Promise<AtomicFile> {
  const id = randomBytes(8).toString('hex')
  const temporary = join(dir, `.dgx-offline-images-${id}.tmp`)
  const handle = await open(temporary, 'wx', 0o644)
  return {
    handle,
    async finish() {
      await handle.sync()
      await handle.close()
    },
    commit: (path) => rename(temporary, path),
    async discard() {
      await handle.close().catch(() => {})
      await remove(temporary)
    },
  }
}

/** Writes a small file whole or not at all. */
export async function writeFileAtomic(path: string, content: string | Buffer): Promise<void> {
  const file = await createAtomicFile(dirname(path))
  try {
    await file.handle.writeFile(content)
    await file.finish()
    await file.commit(path)
  } finally {
    await file.discard()
  }
}

/** Makes the names in a directory last: a rename is only on disk once its directory is. */
export async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, 'r')
  try {
    await handle.sync()
  } catch (error) {
    // Some network and FUSE file systems know no such thing, nor need it.
    if (!isSystemError(error) || !/^(EINVAL|ENOTSUP|ENOSYS)$/.test(error.code)) throw error
  } finally {
    await handle.close()
  }
}

/** Removes the temporary files that a killed run left; to be called by the one run that may write there. */
export async function removeTemporaries(dir: string): Promise<void> {
  const names = await readdir(dir)
  await Promise.all(
    names.filter((name) => TEMPORARY.test(name)).map((name) => remove(join(dir, name))),
  )
}
