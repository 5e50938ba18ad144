// Finds the archives that layers can be taken from. A new archive takes layers that need not be
// compressed again; an increment takes layers that earlier archives carry.
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
  /** Whether everything is compressed anew. */
  readonly force: boolean
}

/**
 * Warns about metadata in the other directories that cannot be used. This is done once a run,
 * because {@link findIndexed} runs for each image and does not warn.
 *
 * @param warn - is called for bad metadata, and for an archive that has not the size in its
 *   metadata
 * @throws NO_DIRECTORY if a directory does not exist
 */
export async function checkIndexed(
  { reuse, force }: Pick<ReuseOptions, 'reuse' | 'force'>,
  warn: Warn,
): Promise<void> {
  if (!force) await readLayers(reuse, warn)
}

/** @returns the layers that have the wanted coding */
export async function findIndexed(options: ReuseOptions): Promise<IndexedLayer[]> {
  const { directory, reuse, coding, force } = options
  if (force) return []
  const indexed = await readLayers([directory, ...reuse])
  return indexed.filter((layer) => isSameCoding(layer.coding, coding))
}

/** Where to find the archives that an increment may take layers from. */
export interface BaseOptions extends Pick<VerbContext, 'notify'> {
  /** The delivery. */
  readonly dir: string
  /** More directories with archives. */
  readonly bases: readonly string[]
  /** Reads the metadata of the archives. */
  readonly delivery: Delivery
}

/** @returns the layers in the delivery, beside the archive and in the bases */
export function readBaseLayers(archive: string, options: BaseOptions): Promise<IndexedLayer[]> {
  const { dir, bases, delivery, notify } = options
  const warn = (text: string): void => notify({ type: 'warning', text })
  const dirs = [dir, dirname(archive), ...bases]
  const catalogs = dirs.map((each) => delivery.catalogOf(each))
  return readLayers(catalogs, warn)
}

// The same directory may be given by several paths; it has one catalog, which is read once.
async function readLayers(catalogs: readonly Catalog[], warn?: Warn): Promise<IndexedLayer[]> {
  const layers: IndexedLayer[] = []
  for (const each of new Set(catalogs)) {
    for (const layer of await each.layers(warn)) layers.push(layer)
  }
  return layers
}
