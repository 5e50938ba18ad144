// The layers that lie in the archives of a directory, each as a segment that can be
// read on its own, as their metadata tell.
import { createHash } from 'node:crypto'
import { basename } from 'node:path'

import type { Coding } from '../codec/formats.ts'
import { ToolError, toToolError } from '../core/errors.ts'
import { COPY_CHANGED_ARCHIVE } from '../core/hints.ts'
import { streamFile } from '../io/file-range.ts'
import { lookAtFile } from '../io/small-file.ts'
import type { ArchiveMetadata, Segment, CachedLayer } from './metadata.ts'

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

// Five times those of 300 archives of 127 layers, the most that an image has.
const MAX_LAYERS = 200_000

interface Indexed {
  readonly layers: readonly IndexedLayer[]
  readonly warnings: readonly Parameters<Warn>[]
}

/** Where an index has the metadata from. */
export interface MetadataSource {
  readonly dir: string
  readonly all: (warn: Warn) => AsyncIterable<FoundMetadata>
}

/** The layers of a directory, in memory: each archive is looked at once. */
export class LayerIndex {
  readonly #source: MetadataSource
  readonly #maxLayers: number
  #byArchive = new Map<string, Indexed>()
  #whole: Promise<Indexed> | undefined

  /** @param maxLayers - those of further archives are not used, and this is told */
  constructor(source: MetadataSource, maxLayers: number = MAX_LAYERS) {
    this.#source = source
    this.#maxLayers = maxLayers
  }

  /**
   * @param warn - told, at each call, of what cannot be used
   * @returns the layers, in the order of the names of their archives
   */
  async read(warn: Warn = () => {}): Promise<readonly IndexedLayer[]> {
    const { layers, warnings } = await (this.#whole ??= this.#readWhole())
    for (const warning of warnings) warn(...warning)
    return layers
  }

  /** Has an archive looked at again. */
  drop(archive: string): void {
    // What is being read goes into the old one, which nobody asks any more.
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
    { hint: COPY_CHANGED_ARCHIVE },
  )
}
