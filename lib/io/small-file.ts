// The small files of a delivery: metadata, SHA256SUMS, the list. They came from
// elsewhere: only regular files are read, no link is followed, up to a limit, and
// once, so that what is parsed is what was hashed.
import { createHash } from 'node:crypto'
import { constants, type Stats } from 'node:fs'
import { lstat, open, stat, type FileHandle } from 'node:fs/promises'

import { ToolError, isSystemError, ignoreNotFound } from '../core/errors.ts'

/** The most that metadata, SHA256SUMS and a list may have: some ten times of what is in use. */
export const MAX_METADATA_BYTES = 8 * 1024 * 1024
export const MAX_SUMS_BYTES = 8 * 1024 * 1024
export const MAX_LIST_BYTES = 1024 * 1024

/** A file that was read, all of it. */
export interface SmallFile {
  readonly bytes: Buffer
  /** Of the bytes, in hex. */
  readonly sha256: string
  /** Whether it has other names, or another owner: its content may be another file's. */
  readonly isForeign: boolean
}

/** How a small file is read. */
export interface SmallFileOptions {
  readonly maxBytes: number
  /** Whether a person keeps it here: a symbolic link is followed then. */
  readonly followLinks?: boolean
  /** Whether a person named it: it may be a pipe then. */
  readonly readPipes?: boolean
}

/**
 * @returns the file, or undefined if there is none
 * @throws BAD_FILE if it is not a regular file, or larger than `maxBytes`; and what the system says
 */
export async function readSmallFile(
  path: string,
  { maxBytes, followLinks = false, readPipes = false }: SmallFileOptions,
): Promise<SmallFile | undefined> {
  // A device is not even opened: that alone may do something.
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
 * @returns what is known of a regular file, or undefined if there is none
 * @throws BAD_FILE if it is something else, such as a link, a FIFO or a directory
 */
export async function lookAtFile(path: string, followLinks = false): Promise<Stats | undefined> {
  const found = await (followLinks ? stat : lstat)(path).catch(ignoreNotFound)
  if (found) checkPlain(path, found)
  return found
}

// What a name became since it was looked at is not followed, nor waited for.
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
    hint: 'it is not what these tools write: copy it again from where it was made',
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

/** @returns the sha256 of what a small file holds, in hex */
export function sha256Of(content: string | Buffer): string {
  return createHash('sha256').update(content).digest('hex')
}
