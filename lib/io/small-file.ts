// Reads the small files of a delivery: metadata, SHA256SUMS, the list. They come from
// another host, so they may hold anything. Only regular files up to a limit are read, and
// no link is followed. Each file is read once, so that the parsed bytes are the hashed ones.
import { createHash } from 'node:crypto'
import { constants, type Stats } from 'node:fs'
import { lstat, open, stat, type FileHandle } from 'node:fs/promises'

import { ToolError, isSystemError, ignoreNotFound } from '../core/errors.ts'
import { COPY_FOREIGN } from '../core/hints.ts'

/** The largest metadata, SHA256SUMS and list: about ten times the size of those in use. */
export const MAX_METADATA_BYTES = 8 * 1024 * 1024
export const MAX_SUMS_BYTES = 8 * 1024 * 1024
export const MAX_LIST_BYTES = 1024 * 1024

/** A small file, read to its end. */
export interface SmallFile {
  readonly bytes: Buffer
  /** sha256 of the bytes, in hex. */
  readonly sha256: string
  /** Whether it has other hard links, or another owner: then it may be a link to a file from elsewhere. */
  readonly isForeign: boolean
}

/** How to read a small file. */
export interface SmallFileOptions {
  readonly maxBytes: number
  /** Whether to follow a symbolic link; for files that the user keeps on this host. */
  readonly followLinks?: boolean
  /** Whether it may be a pipe or a device; for files that the user names. */
  readonly readPipes?: boolean
}

/**
 * @returns the file, or undefined if there is none
 * @throws BAD_FILE if it is not a regular file, or larger than `maxBytes`; an error of
 *   the system if it cannot be read
 */
export async function readSmallFile(
  path: string,
  { maxBytes, followLinks = false, readPipes = false }: SmallFileOptions,
): Promise<SmallFile | undefined> {
  // A device must not even be opened, because opening it may already do something.
  if (!readPipes && !(await lookAtFile(path, followLinks))) return undefined
  const handle = await openAs(path, flagsFor(followLinks, readPipes)).catch(ignoreNotFound)
  if (!handle) return undefined
  try {
    const found = await handle.stat()
    if (!readPipes || found.isDirectory()) checkPlain(path, found)
    const bytes = await readAll(handle, maxBytes + 1)
    if (bytes.length > maxBytes) throw tooLarge(path, Math.max(found.size, bytes.length), maxBytes)
    const isForeign = found.nlink > 1 || found.uid !== process.geteuid?.()
    return { bytes, sha256: sha256Of(bytes), isForeign }
  } finally {
    await handle.close()
  }
}

/**
 * @returns size, owner and times of a regular file, or undefined if there is none
 * @throws BAD_FILE if it is something else, such as a link, a FIFO or a directory
 */
export async function lookAtFile(path: string, followLinks = false): Promise<Stats | undefined> {
  const found = await (followLinks ? stat : lstat)(path).catch(ignoreNotFound)
  if (found) checkPlain(path, found)
  return found
}

// The name may have become a link or a pipe since it was checked. These flags do not
// follow a link, and do not wait for a pipe.
function flagsFor(followLinks: boolean, readPipes: boolean): number {
  if (readPipes) return constants.O_RDONLY
  return constants.O_RDONLY | constants.O_NONBLOCK | (followLinks ? 0 : constants.O_NOFOLLOW)
}

async function openAs(path: string, flags: number): Promise<FileHandle> {
  try {
    return await open(path, flags)
  } catch (error) {
    if (isSystemError(error) && error.code === 'ELOOP') throw notPlain(path, 'a symbolic link')
    throw error
  }
}

function checkPlain(path: string, found: Stats): void {
  if (!found.isFile()) throw notPlain(path, kindOf(found))
}

function kindOf(found: Stats): string {
  if (found.isSymbolicLink()) return 'a symbolic link'
  if (found.isDirectory()) return 'a directory'
  if (found.isFIFO()) return 'a named pipe'
  if (found.isSocket()) return 'a socket'
  return 'a device'
}

function notPlain(path: string, kind: string): ToolError {
  return new ToolError('BAD_FILE', `read "${path}": got ${kind}, want a regular file`, {
    hint: 'put the file itself there: nothing in a delivery is followed to another place',
  })
}

function tooLarge(path: string, got: number, max: number): ToolError {
  return new ToolError('BAD_FILE', `read "${path}": size: got ${got} bytes, want at most ${max}`, {
    hint: COPY_FOREIGN,
  })
}

async function readAll(handle: FileHandle, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  while (sizeBytes < maxBytes) {
    const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, maxBytes - sizeBytes))
    const { bytesRead } = await handle.read(chunk, 0, chunk.length)
    if (bytesRead === 0) break
    chunks.push(chunk.subarray(0, bytesRead))
    sizeBytes += bytesRead
  }
  return Buffer.concat(chunks)
}

const CHUNK_BYTES = 256 * 1024

/** @returns the sha256 of the content of a small file, in hex */
export function sha256Of(content: string | Buffer): string {
  return createHash('sha256').update(content).digest('hex')
}
