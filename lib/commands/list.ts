// What a carry directory holds, by the records in it: no archive is read.
import { basename, join } from 'node:path'

import { ToolError, toToolError } from '../core/errors.ts'
import type { Holding, Outcome, VerbContext } from '../core/outcome.ts'
import { createDelivery, type DeliveryOptions } from '../delivery/delivery.ts'
import { checkDirectory, listArchives } from '../delivery/directory.ts'
import type { ArchiveRecord } from '../delivery/metadata.ts'
import { layerDigest } from '../image/docker-archive.ts'
import { lookAtFile } from '../io/small-file.ts'
import { findMissingOf, missingOutcomes } from './missing-files.ts'

/** What {@link inventory} takes. */
export interface InventoryOptions extends VerbContext, DeliveryOptions {
  /** The carry directory. */
  readonly dir: string
}

/**
 * @returns an outcome for each archive, a failed one for each file that is missing, and two for all of them together: as
 *   they lie there, and with what they share counted once
 * @throws NO_DIRECTORY, NO_ARCHIVE where there is none
 */
export async function* inventory(options: InventoryOptions): AsyncGenerator<Outcome> {
  const { dir, notify } = options
  await checkDirectory(dir)
  const delivery = createDelivery(options)
  const names = await listArchives(dir)
  const missing = await findMissingOf({ names: [], dir }, delivery)
  if (names.length + missing.length === 0) {
    throw new ToolError('NO_ARCHIVE', `look into "${dir}": there is no archive`, {
      hint: 'name the carry directory with --dir',
    })
  }
  const archives: HeldArchive[] = []
  for (const name of names) {
    const path = join(dir, name)
    const warn = (error: unknown): undefined => {
      const reason = toToolError(error)
      if (!reason) throw error
      notify({ type: 'warning', text: reason.message })
    }
    const found = await lookAtFile(path).catch(warn)
    if (!found) continue
    await delivery.listedSum(path).catch(warn)
    const record = await delivery.readRecord(path).catch(warn)
    archives.push({ name: basename(name), sizeBytes: found.size, record })
  }
  const lines = countShared(archives)
  const rows = lines.map((line): Outcome => {
    return { result: 'listed', elapsedMs: 0, notes: [], ...line }
  })
  yield* rows.slice(0, archives.length)
  yield* missingOutcomes(missing, new Set(), { notify })
  yield* rows.slice(archives.length)
}

/** An archive in a directory. */
export interface HeldArchive {
  readonly name: string
  readonly sizeBytes: number
  readonly record: ArchiveRecord | undefined
}

type Line = Pick<Outcome, 'image' | 'archive' | 'tarBytes' | 'archiveBytes' | 'holding'>

/** @returns a line for each archive, then their sum, and their sum with each layer counted once. */
export function countShared(archives: readonly HeldArchive[]): Line[] {
  const holders = countHolders(archives)
  const shared = new Set([...holders.keys()].filter((digest) => holders.get(digest) !== 1))
  const lines = archives.map((archive) => describe(archive, shared))
  const holding = { layers: holders.size, sharedLayers: shared.size, incrementOf: [] }
  return [...lines, ...totals(archives, lines, holding)]
}

function describe({ name, sizeBytes, record }: HeldArchive, shared: ReadonlySet<string>): Line {
  const line = { image: name, archive: name, archiveBytes: sizeBytes }
  if (!record) return line
  const { images, requires = [] } = record
  const layers = images.flatMap((image) => image.layers.map(layerDigest))
  const own = new Set(layers).difference(new Set(requires.map(({ digest }) => digest)))
  return {
    ...line,
    image: images.map((image) => image.reference ?? image.repoTags[0] ?? name).join(', ') || name,
    tarBytes: record.tar.sizeBytes,
    holding: {
      platform: [...new Set(images.map((image) => image.platform))].join(', '),
      created: images[0]?.created,
      layers: layers.length,
      sharedLayers: own.intersection(shared).size,
      incrementOf: [...new Set(requires.map(({ archive }) => archive))],
    },
  }
}

function totals(
  archives: readonly HeldArchive[],
  lines: readonly Line[],
  holding: Holding,
): Line[] {
  const tarBytes = sum(lines.map((line) => line.tarBytes ?? 0))
  const archiveBytes = sum(archives.map(({ sizeBytes }) => sizeBytes))
  const seen = new Set<string>()
  const again = archives.flatMap(({ record }) => record?.segments ?? []).filter(isSeen)
  function isSeen({ layerDigest: digest }: { layerDigest?: string }): boolean {
    if (digest === undefined) return false
    const was = seen.has(digest)
    seen.add(digest)
    return was
  }
  return [
    { image: 'total', archive: '', tarBytes, archiveBytes, holding },
    {
      image: 'total, shared layers once',
      archive: '',
      tarBytes: tarBytes - sum(again.map((segment) => segment.tarSizeBytes)),
      archiveBytes: archiveBytes - sum(again.map((segment) => segment.sizeBytes)),
      holding,
    },
  ]
}

/** How many archives hold a layer, by its digest. */
type Holders = ReadonlyMap<string, number>

function countHolders(archives: readonly HeldArchive[]): Holders {
  const holders = new Map<string, number>()
  for (const { record } of archives) {
    if (!record) continue
    const required = new Set(record.requires?.map(({ digest }) => digest))
    const layers = new Set(record.images.flatMap((image) => image.layers.map(layerDigest)))
    for (const digest of layers.difference(required)) {
      holders.set(digest, (holders.get(digest) ?? 0) + 1)
    }
  }
  return holders
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
