// Files that are there whole or not at all: written under a temporary name in
// the same directory, synced, then renamed. The name tells host, boot and
// process, for people who find it.
import { randomBytes } from 'node:crypto'
import { open, rename, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { remove } from 'fs-extra/esm'

import { isSystemError } from '../core/errors.ts'
import { PROCESS_LABEL, processLabel } from './lock-holder.ts'

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

// The names of older tools had 16 digits and nothing else.
const TEMPORARY = new RegExp(
  `^\\.dgx-offline-images-(?:[0-9a-f]{16}|${PROCESS_LABEL.source}-[0-9a-f]{16}(?:\\.(?:metadata|lock))?)\\.tmp$`,
)

/** @returns whether a file name is that of a temporary file. */
export function isTemporaryName(name: string): boolean {
  return TEMPORARY.test(name)
}

/** @returns whether a file name is that of a file out of which a run makes its lock. */
export function isLockTemporary(name: string): boolean {
  return isTemporaryName(name) && name.endsWith('.lock.tmp')
}

/** @returns the part of a temporary file's name that tells the process; empty where it has none. */
export function labelOf(name: string): string {
  return PROCESS_LABEL.exec(name.replace(/^\.dgx-offline-images-/, ''))?.[0] ?? ''
}

/** @returns whether a file name is that of the metadata of an archive that is being put in place. */
export function isPendingName(name: string): boolean {
  return isTemporaryName(name) && name.endsWith('.metadata.tmp')
}

/**
 * @param kind - `metadata`: of an archive that is being put in place; `lock`: out of which a lock is made
 * @returns the path of a temporary file that nobody else uses
 */
export async function temporaryPath(dir: string, kind?: 'metadata' | 'lock'): Promise<string> {
  const id = `${await processLabel()}-${randomBytes(8).toString('hex')}`
  return join(dir, `.dgx-offline-images-${id}${kind ? `.${kind}` : ''}.tmp`)
}

/** @param dir - where it is to lie in the end */
export async function createAtomicFile(dir: string, kind?: 'metadata'): Promise<AtomicFile> {
  const temporary = await temporaryPath(dir, kind)
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
