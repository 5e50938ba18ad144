// Holds what a run knows of a directory of archives: file names, metadata and layers. Each is
// read once, when it is first needed, and then comes from memory. If this run has locked the
// directory, nobody else changes it, and the run reports its own changes to the catalog. For
// any other directory, the first reading counts.
import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'

import { ToolError, isNotFound, toToolError } from '../core/errors.ts'
import { isPendingName } from '../io/atomic-file.ts'
import { MAX_METADATA_BYTES, readSmallFile, sha256Of } from '../io/small-file.ts'
import { LayerIndex, type FoundMetadata, type IndexedLayer, type Warn } from './layer-index.ts'
import { parseMetadata, type ArchiveMetadata } from './metadata.ts'
import { describedArchive, isArchiveName, isMetadataName, metadataName } from './name.ts'

/** How to read a directory. */
export interface CatalogOptions {
  /** Checks a metadata file, by its path and sha256, before it is parsed; throws to refuse it. */
  readonly check?: (file: string, sha256: string) => Promise<void>
  /**
   * How many bytes of metadata files stay in memory, parsed. Of further files only the sha256
   * stays.
   */
  readonly maxKeptBytes?: number
  /** The most layers to index. */
  readonly maxLayers?: number
}

/**
 * A directory of archives, as this run knows it. An `archive` is the path or file name of one
 * in it.
 */
export class Catalog {
  readonly dir: string
  readonly #options: CatalogOptions
  #store: MetadataStore
  #index: LayerIndex
  #names: Promise<Set<string>> | undefined
  #pending: Promise<ReadonlySet<string>> | undefined

  /** @param dir - a directory; nothing in it is read yet */
  constructor(dir: string, options: CatalogOptions = {}) {
    this.dir = dir
    this.#options = options
    this.#store = new MetadataStore(dir, options)
    this.#index = new LayerIndex(this, options.maxLayers)
  }

  /**
   * @returns the names of all files in the directory
   * @throws NO_DIRECTORY if the directory does not exist
   */
  names(): Promise<ReadonlySet<string>> {
    return (this.#names ??= readNames(this.dir))
  }

  /** @returns the file names of the archives, sorted; throws as {@link Catalog.names} */
  async archives(): Promise<string[]> {
    return (await this.#visibleNames()).filter(isArchiveName)
  }

  /**
   * @returns the file names of the archives that a killed run put in place without their
   *   metadata
   */
  pending(): Promise<ReadonlySet<string>> {
    return (this.#pending ??= readPendingNames(this.dir, this.names()))
  }

  /**
   * @returns the metadata of an archive, or undefined if there is none
   * @throws BAD_RECORD if the metadata is not valid; BAD_FILE if it is not a small plain file;
   *   and what the check of this catalog throws
   */
  metadataOf(archive: string): Promise<ArchiveMetadata | undefined> {
    return this.#store.get(basename(archive))
  }

  /** @returns the sha256 of the metadata file, in hex; otherwise as {@link Catalog.metadataOf} */
  metadataSum(archive: string): Promise<string | undefined> {
    return this.#store.sumOf(basename(archive))
  }

  /**
   * @param warn - is called for each metadata file that cannot be used
   * @returns all usable metadata, in the order of the file names
   * @throws NO_DIRECTORY if the directory does not exist
   */
  async *all(warn: Warn = () => {}): AsyncGenerator<FoundMetadata> {
    for (const name of (await this.#visibleNames()).filter(isMetadataName)) {
      const archive = join(this.dir, describedArchive(name))
      const metadata = await this.metadataOf(archive).catch((error: unknown) => {
        // Without this metadata the run may do some work again; nothing else is lost.
        const reason = toToolError(error)
        if (!reason) throw error
        warn(`in "${this.dir}": ${reason.message}; what it tells of is not used`, archive)
      })
      if (metadata) yield { metadata, archive }
    }
  }

  /**
   * @param warn - is called, at each call, for metadata and archives that cannot be used
   * @returns the layers that can be read from the archives
   * @throws NO_DIRECTORY if the directory does not exist
   */
  layers(warn?: Warn): Promise<readonly IndexedLayer[]> {
    return this.#index.read(warn)
  }

  /**
   * Stores an archive that this run wrote, and its metadata.
   *
   * @param text - the text of the metadata file
   */
  noteWritten(archive: string, metadata: ArchiveMetadata, text: string): void {
    this.noteUnknown(archive)
    this.#store.put(basename(archive), metadata, Buffer.from(text))
    this.#noteNames(archive, (names, name) => names.add(name))
  }

  /** Forgets an archive that this run removed with its metadata. */
  noteRemoved(archive: string): void {
    this.noteUnknown(archive)
    this.#noteNames(archive, (names, name) => names.delete(name))
  }

  /**
   * Forgets what is known of an archive and its metadata, so that both are read again. The run
   * calls this before a change that may fail halfway.
   */
  noteUnknown(archive: string): void {
    this.#store.drop(basename(archive))
    this.#index.drop(archive)
  }

  /** Forgets everything, so that all is read again: what is known may be older than the lock. */
  renew(): void {
    this.#names = undefined
    this.#pending = undefined
    this.#store = new MetadataStore(this.dir, this.#options)
    this.#index = new LayerIndex(this, this.#options.maxLayers)
  }

  // Leaves out hidden files: on some disks, macOS adds a file `._NAME` for each file.
  async #visibleNames(): Promise<string[]> {
    return [...(await this.names())].filter((name) => !name.startsWith('.')).toSorted()
  }

  #noteNames(archive: string, change: (names: Set<string>, name: string) => void): void {
    const both = [basename(archive), basename(metadataName(archive))]
    this.#names?.then(
      (names) => both.forEach((name) => change(names, name)),
      () => {},
    )
  }
}

async function readNames(dir: string): Promise<Set<string>> {
  try {
    return new Set(await readdir(dir))
  } catch (cause) {
    if (!isNotFound(cause)) throw cause
    throw new ToolError('NO_DIRECTORY', `directory not found: "${dir}"`, {
      hint: 'check its name, or mount the disk',
      cause,
    })
  }
}

async function readPendingNames(
  dir: string,
  names: Promise<ReadonlySet<string>>,
): Promise<ReadonlySet<string>> {
  const found = [...(await names)].filter(isPendingName)
  const all = await Promise.all(found.map((name) => readPending(join(dir, name))))
  return new Set(all.flatMap((metadata) => metadata?.archive.file ?? []))
}

/**
 * @returns the metadata in a pending metadata file, which a run writes before it puts an
 *   archive in place; undefined if the file is incomplete or not valid
 */
export async function readPending(path: string): Promise<ArchiveMetadata | undefined> {
  try {
    const found = await readSmallFile(path, { maxBytes: MAX_METADATA_BYTES })
    const metadata = found && parseMetadata(found.bytes.toString('utf8'), path)
    return metadata && isArchiveName(metadata.archive.file) ? metadata : undefined
  } catch (error) {
    if (error instanceof ToolError) return undefined
    throw error
  }
}

/** A metadata file as it was read. It has the metadata only if there was room for it. */
interface Kept {
  readonly sha256: string
  readonly sizeBytes: number
  readonly metadata?: ArchiveMetadata
}

// The metadata of an image with 127 layers, the most there are, takes 110 kB: this is room for
// 600 of them.
const MAX_KEPT_BYTES = 64 * 1024 * 1024

// The metadata files of a directory, by the names of their archives. The files that are read
// first stay in memory, until it is full. A second pass in the same order finds most of them
// there; if the last ones stayed instead, it would find none.
class MetadataStore {
  readonly #dir: string
  readonly #check: NonNullable<CatalogOptions['check']>
  readonly #kept = new Map<string, Promise<Kept | undefined>>()
  #freeBytes: number

  constructor(dir: string, { check, maxKeptBytes = MAX_KEPT_BYTES }: CatalogOptions) {
    this.#dir = dir
    this.#check = check ?? (async () => {})
    this.#freeBytes = maxKeptBytes
  }

  async get(name: string): Promise<ArchiveMetadata | undefined> {
    const known = await this.#find(name)
    if (!known || known.metadata) return known?.metadata
    const again = await this.#read(name)
    if (again?.sha256 === known.sha256) return again.metadata
    throw changedMeanwhile(metadataName(name))
  }

  async sumOf(name: string): Promise<string | undefined> {
    return (await this.#find(name))?.sha256
  }

  put(name: string, metadata: ArchiveMetadata, bytes: Buffer): void {
    const written = { metadata, sha256: sha256Of(bytes), sizeBytes: bytes.length }
    this.#kept.set(name, Promise.resolve(this.#keep(written)))
  }

  drop(name: string): void {
    const known = this.#kept.get(name)
    this.#kept.delete(name)
    known?.then(
      (kept) => (this.#freeBytes += kept?.metadata ? kept.sizeBytes : 0),
      () => {},
    )
  }

  #find(name: string): Promise<Kept | undefined> {
    const known = this.#kept.get(name)
    if (known) return known
    const reading = this.#read(name).then((found) => found && this.#keep(found))
    this.#kept.set(name, reading)
    return reading
  }

  #keep({ metadata, ...file }: Required<Kept>): Kept {
    if (file.sizeBytes > this.#freeBytes) return file
    this.#freeBytes -= file.sizeBytes
    return { ...file, metadata }
  }

  async #read(name: string): Promise<Required<Kept> | undefined> {
    const file = metadataName(name)
    const path = join(this.#dir, file)
    const found = await readSmallFile(path, { maxBytes: MAX_METADATA_BYTES })
    if (!found) return undefined
    const { bytes, sha256 } = found
    await this.#check(path, sha256)
    const metadata = parseMetadata(bytes.toString('utf8'), file)
    return { metadata, sha256, sizeBytes: bytes.length }
  }
}

function changedMeanwhile(file: string): ToolError {
  return new ToolError('BAD_RECORD', `read "${file}": it was changed while this run used it`, {
    hint: 'run it again once nobody else writes there',
  })
}
