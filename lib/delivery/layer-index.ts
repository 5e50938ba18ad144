// Indexes the layers in the archives of a directory, by their metadata. Each layer is a segment
// that can be read on its own.
import { createHash } from 'node:crypto'
import { basename } from 'node:path'

import type { Coding } from '../codec/formats.ts'
import { ToolError, toToolError } from '../core/errors.ts'
import { COPY_CHANGED_ARCHIVE } from '../core/hints.ts'
import type { ArchiveFile } from '../io/archive-file.ts'
import { lookAtFile } from '../io/small-file.ts'
import type { ArchiveMetadata, Segment, CachedLayer } from './metadata.ts'

/** A layer in an archive. */
export interface IndexedLayer extends CachedLayer {
  /** The path of the archive. */
  readonly archive: string
  readonly coding: Coding
  readonly segment: Segment
}

/** The metadata of an archive, which may itself be missing. */
export interface FoundMetadata {
  readonly metadata: ArchiveMetadata
  /** The path of the archive. */
  readonly archive: string
}

/** Is called with what cannot be used and why, and with the path of its archive. */
export type Warn = (text: string, archive: string) => void

// Five times the layers of 300 archives with 127 layers each, the most that an image has.
const MAX_LAYERS = 200_000

interface Indexed {
  readonly layers: readonly IndexedLayer[]
  readonly warnings: readonly Parameters<Warn>[]
}

/** Where an index gets its metadata. */
export interface MetadataSource {
  readonly dir: string
  readonly all: (warn: Warn) => AsyncIterable<FoundMetadata>
}

/** The layers of a directory, in memory. Each archive is examined once. */
export class LayerIndex {
  readonly #source: MetadataSource
  readonly #maxLayers: number
  #byArchive = new Map<string, Indexed>()
  #whole: Promise<Indexed> | undefined

  /**
   * @param maxLayers - the most layers to index; the layers of further archives are not used,
   *   with a warning
   */
  constructor(source: MetadataSource, maxLayers: number = MAX_LAYERS) {
    this.#source = source
    this.#maxLayers = maxLayers
  }

  /**
   * @param warn - is called, at each call, for what cannot be used
   * @returns the layers, in the order of the names of their archives
   */
  async read(warn: Warn = () => {}): Promise<readonly IndexedLayer[]> {
    const { layers, warnings } = await (this.#whole ??= this.#readWhole())
    for (const warning of warnings) warn(...warning)
    return layers
  }

  /** Forgets an archive, so that it is examined again. */
  drop(archive: string): void {
    // A reading that still runs adds to the old map, which nobody uses any more.
    this.#byArchive = new Map(this.#byArchive)
    this.#byArchive.delete(basename(archive))
    this.#whole = undefined
  }

  async #readWhole(): Promise<Indexed> {
    const layers: IndexedLayer[] = []
    const warnings: Parameters<Warn>[] = []
    const byArchive = this.#byArchive
    for await (const found of this.#source.all((...warning) => void warnings.push(warning))) {
      const name = basename(found.archive)
      const known = byArchive.get(name) ?? (await indexArchive(found))
      const isMore = layers.length + known.layers.length > this.#maxLayers
      const used = isMore ? this.#tooMany(found.archive) : known
      byArchive.set(name, used)
      for (const layer of used.layers) layers.push(layer)
      warnings.push(...used.warnings)
    }
    return { layers, warnings }
  }

  #tooMany(archive: string): Indexed {
    const text = `in "${this.#source.dir}": more than ${this.#maxLayers} layers; those of "${archive}" are not used`
    return { layers: [], warnings: [[text, archive]] }
  }
}

async function indexArchive({ archive, metadata }: FoundMetadata): Promise<Indexed> {
  const warnings: Parameters<Warn>[] = []
  const isUsable = await isWhole(archive, metadata, (...warning) => void warnings.push(warning))
  const layers = isUsable ? layersIn(archive, metadata) : []
  return { layers, warnings }
}

function layersIn(archive: string, { archive: coding, segments }: ArchiveMetadata): IndexedLayer[] {
  return segments.flatMap((segment) => {
    const { layerDigest: digest, tarSizeBytes: sizeBytes } = segment
    return digest === undefined ? [] : [{ digest, sizeBytes, archive, coding, segment }]
  })
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

/**
 * @param file - the archive
 * @param segment - one of its segments
 * @returns the compressed bytes of this segment
 * @throws MISMATCH after the last byte, if the bytes do not have the sha256 of the metadata
 */
export async function* readSegment(file: ArchiveFile, segment: Segment): AsyncGenerator<Buffer> {
  const { offsetBytes, sizeBytes, sha256 } = segment
  if (sizeBytes === 0) return
  const hash = createHash('sha256')
  for await (const chunk of file.stream(segment)) {
    hash.update(chunk)
    yield chunk
  }
  const got = hash.digest('hex')
  if (got === sha256) return
  throw new ToolError(
    'MISMATCH',
    `check "${file.path}", ${sizeBytes} bytes at ${offsetBytes}: sha256: got ${got}, want ${sha256}`,
    { hint: COPY_CHANGED_ARCHIVE },
  )
}
