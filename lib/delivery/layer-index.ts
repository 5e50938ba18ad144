// The layers that lie in the archives of some directories, each as a segment
// that can be read on its own, as their metadata tell.
import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'

import { isSameCoding, type Coding } from '../codec/formats.ts'
import { ToolError, isNotFound, toToolError } from '../core/errors.ts'
import type { VerbContext } from '../core/outcome.ts'
import { streamFile } from '../io/file-range.ts'
import { lookAtFile } from '../io/small-file.ts'
import type { Delivery } from './delivery.ts'
import { readMetadata } from './directory.ts'
import type { ArchiveMetadata, Segment, CachedLayer } from './metadata.ts'
import { isMetadataName, describedArchive } from './name.ts'

/** A layer in an archive. */
export interface IndexedLayer extends CachedLayer {
  /** Path of the archive. */
  readonly archive: string
  readonly coding: Coding
  readonly segment: Segment
}

/** Metadata, and where its archive is or was. */
export interface FoundMetadata {
  readonly metadata: ArchiveMetadata
  /** Path of the archive. */
  readonly archive: string
}

/** Told of what is there and cannot be used, and of the path of its archive. */
export type Warn = (text: string, archive: string) => void

/**
 * @param read - reads the metadata of an archive
 * @returns the metadata in a directory that can be read, in the order of their names
 * @throws NO_DIRECTORY
 */
export async function readAllMetadata(
  dir: string,
  warn: Warn = () => {},
  read: Delivery['readMetadata'] = readMetadata,
): Promise<FoundMetadata[]> {
  const names = await readdir(dir).catch((cause: unknown) => {
    if (!isNotFound(cause)) throw cause
    throw new ToolError('NO_DIRECTORY', `directory not found: "${dir}"`, {
      hint: 'check its name, or mount the disk',
      cause,
    })
  })
  const found: FoundMetadata[] = []
  // macOS puts a file `._NAME` beside each on some disks.
  const all = names.filter((name) => isMetadataName(name) && !name.startsWith('.'))
  for (const name of all.toSorted()) {
    const archive = join(dir, describedArchive(name))
    const metadata = await read(archive).catch((error: unknown) => {
      // It costs a chance to spare work, and nothing else.
      const reason = toToolError(error)
      if (!reason) throw error
      warn(`in "${dir}": ${reason.message}; what it tells of is not used`, archive)
      return undefined
    })
    if (metadata) found.push({ metadata, archive })
  }
  return found
}

/** @returns the layers that can be read from the archives in some directories. */
export async function readLayerIndex(
  dirs: readonly string[],
  warn: Warn = () => {},
  read?: Delivery['readMetadata'],
): Promise<IndexedLayer[]> {
  const layers: IndexedLayer[] = []
  // One directory may be named in several ways.
  for (const dir of new Map(dirs.map((each) => [resolve(each), each])).values()) {
    for (const { metadata, archive } of await readAllMetadata(dir, warn, read)) {
      if (!(await isWhole(archive, metadata, warn))) continue
      for (const segment of metadata.segments) {
        const { layerDigest: digest, tarSizeBytes: sizeBytes } = segment
        if (digest !== undefined)
          layers.push({ digest, sizeBytes, archive, coding: metadata.archive, segment })
      }
    }
  }
  return layers
}

/** Where the archives are that an increment may take layers from. */
export interface BaseOptions extends Pick<VerbContext, 'notify'> {
  /** The delivery. */
  readonly dir: string
  /** Directories with more of them. */
  readonly bases: readonly string[]
  /** Reads their metadata. */
  readonly delivery: Delivery
}

/** @returns the layers that an increment may take from archives beside it. */
export function readBaseLayers(archive: string, options: BaseOptions): Promise<IndexedLayer[]> {
  const { dir, bases, delivery, notify } = options
  const warn = (text: string): void => notify({ type: 'warning', text })
  return readLayerIndex([dir, dirname(archive), ...bases], warn, delivery.readMetadata)
}

async function isWhole(archive: string, metadata: ArchiveMetadata, warn: Warn): Promise<boolean> {
  const found = await lookAtFile(archive).catch((error: unknown) => {
    const reason = toToolError(error)
    if (reason) warn(`${reason.message}; its layers are not used`, archive)
    return undefined
  })
  const want = metadata.archive.sizeBytes
  if (found && found.size !== want) {
    warn(`"${archive}": size: got ${found.size}, want ${want}; its layers are not used`, archive)
  }
  return found?.size === want
}

/** Where to look for layers that need not be compressed again. */
export interface ReuseOptions {
  /** The delivery. */
  readonly dir: string
  /** Other directories. */
  readonly reuse: readonly string[]
  readonly coding: Coding
  /** Whether all is to be made anew. */
  readonly force: boolean
}

/**
 * Tells of metadata in the other directories that cannot be used: once a run, since
 * {@link findIndexed}, which reads them for each image, does not.
 *
 * @param warn - told of bad metadata, and of an archive that is not of its saved size
 * @throws NO_DIRECTORY
 */
export async function checkIndexed(
  { reuse, force }: Pick<ReuseOptions, 'reuse' | 'force'>,
  warn: Warn,
): Promise<void> {
  if (!force) await readLayerIndex(reuse, warn)
}

/** @returns layers that are compressed as is asked for. */
export async function findIndexed(options: ReuseOptions): Promise<IndexedLayer[]> {
  const { dir, reuse, coding, force } = options
  if (force) return []
  const indexed = await readLayerIndex([dir, ...reuse])
  return indexed.filter((layer) => isSameCoding(layer.coding, coding))
}

/**
 * @param archive - path of the archive
 * @returns the compressed bytes of one of its segments
 * @throws MISMATCH at their end where they are not what the metadata says
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
