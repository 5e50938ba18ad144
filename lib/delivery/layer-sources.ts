// Where an archive may take layers from: a new one those that need not be compressed
// again, an increment those that earlier archives carry.
import { dirname } from 'node:path'

import { isSameCoding, type Coding } from '../codec/formats.ts'
import type { VerbContext } from '../core/outcome.ts'
import type { Catalog } from './catalog.ts'
import type { Delivery } from './delivery.ts'
import type { IndexedLayer, Warn } from './layer-index.ts'

/** Where to look for layers that need not be compressed again. */
export interface ReuseOptions {
  /** The delivery. */
  readonly directory: Catalog
  /** Other directories. */
  readonly reuse: readonly Catalog[]
  readonly coding: Coding
  /** Whether all is to be made anew. */
  readonly force: boolean
}

/**
 * Tells of metadata in the other directories that cannot be used: once a run, since
 * {@link findIndexed}, which is asked for each image, does not.
 *
 * @param warn - told of bad metadata, and of an archive that is not of its saved size
 * @throws NO_DIRECTORY
 */
export async function checkIndexed(
  { reuse, force }: Pick<ReuseOptions, 'reuse' | 'force'>,
  warn: Warn,
): Promise<void> {
  if (!force) await readLayers(reuse, warn)
}

/** @returns layers that are compressed as is asked for. */
export async function findIndexed(options: ReuseOptions): Promise<IndexedLayer[]> {
  const { directory, reuse, coding, force } = options
  if (force) return []
  const indexed = await readLayers([directory, ...reuse])
  return indexed.filter((layer) => isSameCoding(layer.coding, coding))
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
  return readLayers([dir, dirname(archive), ...bases].map(delivery.catalogOf), warn)
}

// One directory may be named in several ways; it has one catalog.
async function readLayers(catalogs: readonly Catalog[], warn?: Warn): Promise<IndexedLayer[]> {
  const layers: IndexedLayer[] = []
  for (const each of new Set(catalogs)) {
    for (const layer of await each.layers(warn)) layers.push(layer)
  }
  return layers
}
