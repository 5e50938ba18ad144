// The layers that lie in the archives of some directories, each as a segment
// that can be read on its own, as their records tell.
import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'

import { isSameCoding, type Coding } from '../codec/formats.ts'
import { ToolError, isAbsent, toToolError } from '../core/errors.ts'
import type { VerbContext } from '../core/outcome.ts'
import { streamFile } from '../io/file-range.ts'
import { lookAtFile } from '../io/small-file.ts'
import type { Delivery } from './delivery.ts'
import { readRecord } from './directory.ts'
import type { ArchiveRecord, Segment, KnownLayer } from './metadata.ts'
import { isRecordName, recordedName } from './name.ts'

/** A layer in an archive. */
export interface HeldLayer extends KnownLayer {
  /** Path of the archive. */
  readonly archive: string
  readonly coding: Coding
  readonly segment: Segment
}

/** A record, and where its archive is or was. */
export interface FoundRecord {
  readonly record: ArchiveRecord
  /** Path of the archive. */
  readonly archive: string
}

/** Told of what is there and cannot be used, and of the path of its archive. */
export type Warn = (text: string, archive: string) => void

/**
 * @param read - reads the record of an archive
 * @returns the records in a directory that can be read, in the order of their names
 * @throws NO_DIRECTORY
 */
export async function readRecords(
  dir: string,
  warn: Warn = () => {},
  read: Delivery['readRecord'] = readRecord,
): Promise<FoundRecord[]> {
  const names = await readdir(dir).catch((cause: unknown) => {
    if (!isAbsent(cause)) throw cause
    throw new ToolError('NO_DIRECTORY', `open "${dir}": there is no such directory`, {
      hint: 'check its name, or mount the disk',
      cause,
    })
  })
  const found: FoundRecord[] = []
  // macOS puts a file `._NAME` beside each on some disks.
  const records = names.filter((name) => isRecordName(name) && !name.startsWith('.'))
  for (const name of records.toSorted()) {
    const archive = join(dir, recordedName(name))
    const record = await read(archive).catch((error: unknown) => {
      // It costs a chance to spare work, and nothing else.
      const reason = toToolError(error)
      if (!reason) throw error
      warn(`in "${dir}": ${reason.message}; what it tells of is not used`, archive)
      return undefined
    })
    if (record) found.push({ record, archive })
  }
  return found
}

/** @returns the layers that can be read from the archives in some directories. */
export async function readHeldLayers(
  dirs: readonly string[],
  warn: Warn = () => {},
  read?: Delivery['readRecord'],
): Promise<HeldLayer[]> {
  const layers: HeldLayer[] = []
  // One directory may be named in several ways.
  for (const dir of new Map(dirs.map((each) => [resolve(each), each])).values()) {
    for (const { record, archive } of await readRecords(dir, warn, read)) {
      if (!(await isWhole(archive, record, warn))) continue
      for (const segment of record.segments) {
        const { layerDigest: digest, tarSizeBytes: sizeBytes } = segment
        if (digest !== undefined)
          layers.push({ digest, sizeBytes, archive, coding: record.archive, segment })
      }
    }
  }
  return layers
}

/** Where the archives are that an increment may take layers from. */
export interface BaseOptions extends Pick<VerbContext, 'notify'> {
  /** The carry directory. */
  readonly dir: string
  /** Directories with more of them. */
  readonly bases: readonly string[]
  /** Reads their metadata. */
  readonly delivery: Delivery
}

/** @returns the layers that an increment may take from archives beside it. */
export function readBaseLayers(archive: string, options: BaseOptions): Promise<HeldLayer[]> {
  const { dir, bases, delivery, notify } = options
  const warn = (text: string): void => notify({ type: 'warning', text })
  return readHeldLayers([dir, dirname(archive), ...bases], warn, delivery.readRecord)
}

async function isWhole(archive: string, record: ArchiveRecord, warn: Warn): Promise<boolean> {
  const found = await lookAtFile(archive).catch((error: unknown) => {
    const reason = toToolError(error)
    if (reason) warn(`${reason.message}; its layers are not used`, archive)
    return undefined
  })
  const want = record.archive.sizeBytes
  if (found && found.size !== want) {
    warn(`"${archive}": size: got ${found.size}, want ${want}; its layers are not used`, archive)
  }
  return found?.size === want
}

/** Where to look for layers that need not be compressed again. */
export interface ReuseOptions {
  /** The carry directory. */
  readonly dir: string
  /** Other directories. */
  readonly reuse: readonly string[]
  readonly coding: Coding
  /** Whether all is to be made anew. */
  readonly force: boolean
}

/**
 * Tells of records in the other directories that cannot be used: once a run, since
 * {@link findReusable}, which reads them for each image, does not.
 *
 * @param warn - told of a bad record, and of an archive that is not of its recorded size
 * @throws NO_DIRECTORY
 */
export async function checkReusable(
  { reuse, force }: Pick<ReuseOptions, 'reuse' | 'force'>,
  warn: Warn,
): Promise<void> {
  if (!force) await readHeldLayers(reuse, warn)
}

/** @returns layers that are compressed as is asked for. */
export async function findReusable(options: ReuseOptions): Promise<HeldLayer[]> {
  const { dir, reuse, coding, force } = options
  if (force) return []
  const held = await readHeldLayers([dir, ...reuse])
  return held.filter((layer) => isSameCoding(layer.coding, coding))
}

/**
 * @param archive - path of the archive
 * @returns the compressed bytes of one of its segments
 * @throws MISMATCH at their end where they are not what the record says
 */
export async function* readSegment(archive: string, segment: Segment): AsyncGenerator<Buffer> {
  const { offsetBytes, sizeBytes, sha256 } = segment
  if (sizeBytes === 0) return
  const hash = createHash('sha256')
  for await (const chunk of streamFile(archive, segment)) {
    hash.update(chunk)
    yield chunk
  }
  const got = hash.digest('hex')
  if (got === sha256) return
  throw new ToolError(
    'MISMATCH',
    `check "${archive}", ${sizeBytes} bytes at ${offsetBytes}: sha256: got ${got}, want ${sha256}`,
    { hint: 'it was changed or damaged: copy the archive again from where it was made' },
  )
}
