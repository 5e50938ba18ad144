// Writes files whole or not at all: under a temporary name in the same directory, then
// sync, then rename. The temporary name holds host, boot and process, so that people and
// later runs can see whose file it is.
import { randomBytes } from 'node:crypto'
import { open, rename, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { remove } from 'fs-extra/esm'

import { isSystemError } from '../core/errors.ts'
import { PROCESS_LABEL, processLabel } from './lock-holder.ts'

/** A file that is being written. */
export interface AtomicFile {
  readonly handle: FileHandle
  /** Syncs and closes the file; it keeps its temporary name. */
  finish(): Promise<void>
  /** Gives a finished file its final path; replaces a file that has this path. */
  commit(path: string): Promise<void>
  /** Removes the file; does nothing after a commit. */
  discard(): Promise<void>
}

// Older versions of the tools wrote names with 16 hex digits only.
const TEMPORARY = new RegExp(
  `^\\.dgx-offline-images-(?:[0-9a-f]{16}|${PROCESS_LABEL.source}-[0-9a-f]{16}(?:\\.(?:metadata|lock))?)\\.tmp$`,
)

/** @returns whether a file name is that of a temporary file. */
export function isTemporaryName(name: string): boolean {
  return TEMPORARY.test(name)
}

/** @returns whether a file name is that of a temporary file that becomes a lock. */
export function isLockTemporary(name: string): boolean {
  return isTemporaryName(name) && name.endsWith('.lock.tmp')
}

/** @returns the `HOST-BOOT-PID` in the name of a temporary file; empty if it has none. */
export function labelOf(name: string): string {
  return PROCESS_LABEL.exec(name.replace(/^\.dgx-offline-images-/, ''))?.[0] ?? ''
}

/** @returns whether a file name is that of metadata whose archive is being put in place. */
export function isPendingName(name: string): boolean {
  return isTemporaryName(name) && name.endsWith('.metadata.tmp')
}

/**
 * @param kind - `metadata`: for metadata whose archive is being put in place; `lock`: for
 *   a file that becomes a lock
 * @returns the path of a temporary file that no other process uses
 */
export async function temporaryPath(dir: string, kind?: 'metadata' | 'lock'): Promise<string> {
  const id = `${await processLabel()}-${randomBytes(8).toString('hex')}`
  return join(dir, `.dgx-offline-images-${id}${kind ? `.${kind}` : ''}.tmp`)
}

/** @param dir - the directory of the final path */
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

/** Writes a small file whole or not at all; replaces a file that has this path. */
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

/** Syncs a directory: a rename is on disk only after its directory is synced. */
export async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, 'r')
  try {
    await handle.sync()
  } catch (error) {
    // Some network and FUSE file systems cannot sync a directory, and do not need it.
    if (!isSystemError(error) || !/^(EINVAL|ENOTSUP|ENOSYS)$/.test(error.code)) throw error
  } finally {
    await handle.close()
  }
}
