// Lists the content of a delivery from its metadata. No archive is read.
import { basename, join } from 'node:path'

import { ToolError, toToolError } from '../core/errors.ts'
import type { Holding, Outcome, VerbContext } from '../core/outcome.ts'
import { Delivery, type DeliveryOptions } from '../delivery/delivery.ts'
import { checkDirectory } from '../delivery/directory.ts'
import type { ArchiveMetadata } from '../delivery/metadata.ts'
import { lookAtFile } from '../io/small-file.ts'
import { findMissingOf, missingOutcomes } from './missing-files.ts'

/**
 * @returns one outcome for each archive, a failed one for each missing file, and two totals:
 *   the sizes of all files, and the sizes with shared layers counted once
 * @throws NO_DIRECTORY if the directory does not exist; NO_ARCHIVE if it has no archive
 */
export async function* inventory(
  options: DeliveryOptions,
  { notify }: VerbContext,
): AsyncGenerator<Outcome> {
  const { dir } = options
  await checkDirectory(dir)
  const delivery = new Delivery(options)
  const names = await delivery.catalogOf(dir).archives()
  const missing = await findMissingOf({ names: [], dir }, delivery)
  if (names.length + missing.length === 0) {
    throw new ToolError('NO_ARCHIVE', `no archives in "${dir}"`, {
      hint: 'name the delivery with --dir',
    })
  }
  const archives: ListedArchive[] = []
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
    const metadata = await delivery.readMetadata(path).catch(warn)
    archives.push({ name: basename(name), sizeBytes: found.size, metadata })
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
export interface ListedArchive {
  readonly name: string
  readonly sizeBytes: number
  readonly metadata: ArchiveMetadata | undefined
}

type Line = Pick<Outcome, 'image' | 'archive' | 'tarBytes' | 'archiveBytes' | 'holding'>

/** @returns a line for each archive, then the total, and the total with each layer counted once */
export function countShared(archives: readonly ListedArchive[]): Line[] {
  const holders = countHolders(archives)
  const shared = new Set([...holders.keys()].filter((digest) => holders.get(digest) !== 1))
  const lines = archives.map((archive) => describe(archive, shared))
  const holding = { layers: holders.size, sharedLayers: shared.size, incrementOf: [] }
  return [...lines, ...totals(archives, lines, holding)]
}

function describe({ name, sizeBytes, metadata }: ListedArchive, shared: ReadonlySet<string>): Line {
  const line = { image: name, archive: name, archiveBytes: sizeBytes }
  if (!metadata) return line
  const { images, requires = [] } = metadata
  const layers = digestsOf(metadata)
  const own = new Set(layers).difference(new Set(requires.map(({ digest }) => digest)))
  return {
    ...line,
    image: images.map((image) => image.reference ?? image.repoTags[0] ?? name).join(', ') || name,
    tarBytes: metadata.tar.sizeBytes,
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
  archives: readonly ListedArchive[],
  lines: readonly Line[],
  holding: Holding,
): Line[] {
  const tarBytes = sum(lines.map((line) => line.tarBytes ?? 0))
  const archiveBytes = sum(archives.map(({ sizeBytes }) => sizeBytes))
  const seen = new Set<string>()
  const again = archives.flatMap(({ metadata }) => metadata?.segments ?? []).filter(isSeen)
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

function digestsOf({ images }: ArchiveMetadata): string[] {
  return images.flatMap(({ layers }) => layers.map(({ digest }) => digest))
}

/** How many archives hold a layer, by its digest. */
type Holders = ReadonlyMap<string, number>

function countHolders(archives: readonly ListedArchive[]): Holders {
  const holders = new Map<string, number>()
  for (const { metadata } of archives) {
    if (!metadata) continue
    const external = new Set(metadata.requires?.map(({ digest }) => digest))
    const layers = new Set(digestsOf(metadata))
    for (const digest of layers.difference(external)) {
      holders.set(digest, (holders.get(digest) ?? 0) + 1)
    }
  }
  return holders
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
