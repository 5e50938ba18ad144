// The deliveries that a run reads, each by its manifest: where there is a SHA256SUMS,
// only what it lists counts, and nothing is believed before its sum was checked.
import { basename, dirname, join, resolve } from 'node:path'

import { Catalog } from './catalog.ts'
import { expectEqual } from './expect-equal.ts'
import { LIST_NAME, SUMS_NAME } from './name.ts'
import type { ArchiveMetadata } from './metadata.ts'
import { SUMS_ENCODING, findConflicts, parseChecksums, type Checksums } from './sha256sums.ts'
import { ToolError } from '../core/errors.ts'
import { COPY_AGAIN, COPY_FOREIGN } from '../core/hints.ts'
import { MAX_SUMS_BYTES, readSmallFile } from '../io/small-file.ts'

/** What a run takes for a delivery's own. */
export interface DeliveryOptions {
  readonly dir: string
  /** Directories with earlier archives: what is taken from them is verified by those that need it. */
  readonly bases: readonly string[]
  /** The sha256 that SHA256SUMS itself has to have, in hex; anything without it. */
  readonly sumsSha256: string | undefined
  /** Whether files that SHA256SUMS does not list are taken all the same. */
  readonly unlisted: boolean
}

/** SHA256SUMS of a directory. */
export interface Manifest {
  readonly sums: Checksums
  /** In {@link SUMS_ENCODING}. */
  readonly text: string
}

/** Reads the files of deliveries, each SHA256SUMS and each metadata file once. */
export interface Delivery {
  /**
   * @returns the manifest of a directory, or undefined if there is none
   * @throws MISMATCH if it is not the one that was asked for, or contradicts itself; BAD_FILE
   */
  readonly manifestOf: (dir: string) => Promise<Manifest | undefined>
  /**
   * @returns the sha256 that the manifest has for a file; undefined if nothing tells
   * @throws NOT_LISTED if there is a manifest that does not list it; as {@link Delivery.manifestOf}
   */
  readonly listedSum: (file: string) => Promise<string | undefined>
  /**
   * @returns a small file, or undefined if there is none
   * @throws NOT_LISTED, MISMATCH or BAD_FILE
   */
  readonly readFile: (file: string, maxBytes: number) => Promise<Buffer | undefined>
  /** @returns the catalog of a directory, whose metadata have the sums of its manifest; throws as {@link Delivery.readFile} */
  readonly catalogOf: (dir: string) => Catalog
  /**
   * @param archive - path of an archive
   * @returns its metadata, or undefined if there is none
   * @throws as {@link Delivery.readFile}; BAD_RECORD
   */
  readonly readMetadata: (archive: string) => Promise<ArchiveMetadata | undefined>
}

/** @returns what reads deliveries as they are to be taken. */
export function createDelivery(options: DeliveryOptions): Delivery {
  const { dir: own, bases, sumsSha256, unlisted } = options
  const unbound = new Set(
    bases.map((base) => resolve(base)).filter((base) => base !== resolve(own)),
  )
  const manifests = new Map<string, Promise<Manifest | undefined>>()
  const manifestOf: Delivery['manifestOf'] = (dir) => {
    const key = resolve(dir)
    const wanted = unbound.has(key) ? undefined : sumsSha256
    const reading = manifests.get(key) ?? readManifest(dir, wanted)
    manifests.set(key, reading)
    return reading
  }
  const listedSum: Delivery['listedSum'] = async (file) => {
    const manifest = await manifestOf(dirname(file))
    const sha256 = manifest?.sums.get(basename(file))
    if (manifest && sha256 === undefined && !unlisted) throw notListed(file)
    return sha256
  }
  const checkSum = async (what: string, file: string, sha256: string): Promise<void> => {
    const want = await listedSum(file)
    if (want === undefined) return
    expectEqual(`sha256 of ${what}, by SHA256SUMS`, sha256, want, hintFor(file))
  }
  const check = (file: string, sha256: string): Promise<void> =>
    checkSum('the metadata', file, sha256)
  const catalogs = new Map<string, Catalog>()
  const catalogOf: Delivery['catalogOf'] = (dir) => {
    const catalog = catalogs.get(resolve(dir)) ?? new Catalog(dir, { check })
    catalogs.set(resolve(dir), catalog)
    return catalog
  }
  return {
    manifestOf,
    listedSum,
    async readFile(file, maxBytes) {
      const found = await readSmallFile(file, { maxBytes })
      if (found) await checkSum(`"${basename(file)}"`, file, found.sha256)
      return found?.bytes
    },
    catalogOf,
    readMetadata: (archive) => catalogOf(dirname(archive)).metadataOf(archive),
  }
}

function hintFor(file: string): string | undefined {
  if (basename(file) !== LIST_NAME) return undefined
  return 'copy it again, or name a list of your own with --list; where it was made, save with it by --list'
}

async function readManifest(
  dir: string,
  wanted: string | undefined,
): Promise<Manifest | undefined> {
  const path = join(dir, SUMS_NAME)
  const found = await readSmallFile(path, { maxBytes: MAX_SUMS_BYTES })
  if (wanted !== undefined && found?.sha256 !== wanted) {
    const got = found ? `sha256: got ${found.sha256}` : 'it is not there'
    throw new ToolError('MISMATCH', `check "${path}": ${got}, want ${wanted}`, {
      hint: 'it is not the delivery that the value was made of: nothing of it is to be used',
    })
  }
  if (!found) return undefined
  const text = found.bytes.toString(SUMS_ENCODING)
  checkLines(path, text)
  const [conflict] = findConflicts(text)
  if (conflict !== undefined) {
    throw new ToolError('MISMATCH', `read "${path}": it has two sums of "${conflict}"`, {
      hint: `it was put together from several, or changed: ${COPY_AGAIN}`,
    })
  }
  return { sums: parseChecksums(text), text }
}

// A delivery has some files for each image; each that is missed is looked for, and told.
const MAX_LINES = 20_000

function checkLines(path: string, text: string): void {
  const { length } = text.split('\n')
  if (length <= MAX_LINES) return
  throw new ToolError(
    'BAD_FILE',
    `read "${path}": got ${length} lines, want at most ${MAX_LINES}`,
    {
      hint: COPY_FOREIGN,
    },
  )
}

function notListed(file: string): ToolError {
  const isList = basename(file) === LIST_NAME
  return new ToolError('NOT_LISTED', `check "${file}": SHA256SUMS beside it does not list it`, {
    hint: isList
      ? 'it is not part of the delivery: name your own list with --list, or take it with --unlisted'
      : 'it is not part of the delivery: remove it, or take it all the same with --unlisted',
  })
}
