// Reads deliveries. If a delivery has a SHA256SUMS, only the files that it lists count, and
// each metadata file or list is checked against it before use.
import { basename, dirname, join, resolve } from 'node:path'

import { ToolError } from '../core/errors.ts'
import { COPY_AGAIN, COPY_FOREIGN } from '../core/hints.ts'
import { MAX_SUMS_BYTES, readSmallFile } from '../io/small-file.ts'
import { Catalog } from './catalog.ts'
import { expectEqual } from './expect-equal.ts'
import type { ArchiveMetadata } from './metadata.ts'
import { LIST_NAME, SUMS_NAME } from './name.ts'
import { SUMS_ENCODING, findConflicts, parseChecksums, type Checksums } from './sha256sums.ts'

/** Which files a run accepts as part of a delivery. */
export interface DeliveryOptions {
  readonly dir: string
  /**
   * Directories with earlier archives. `sumsSha256` does not apply to them: a layer from there
   * is verified by the metadata of the increment that needs it.
   */
  readonly bases: readonly string[]
  /**
   * The sha256 that SHA256SUMS itself must have, in hex; undefined accepts any SHA256SUMS, or
   * none.
   */
  readonly sumsSha256: string | undefined
  /** Whether to accept files that SHA256SUMS does not list. */
  readonly unlisted: boolean
}

/** The SHA256SUMS of a directory. */
export interface Manifest {
  readonly sums: Checksums
  /** The text, in {@link SUMS_ENCODING}. */
  readonly text: string
}

/** Reads the files of deliveries. Each SHA256SUMS and each metadata file is read once. */
export class Delivery {
  readonly #options: DeliveryOptions
  /** The directories that `sumsSha256` does not apply to. */
  readonly #unbound: ReadonlySet<string>
  readonly #manifests = new Map<string, Promise<Manifest | undefined>>()
  readonly #catalogs = new Map<string, Catalog>()

  constructor(options: DeliveryOptions) {
    this.#options = options
    const bases = options.bases.map((base) => resolve(base))
    this.#unbound = new Set(bases.filter((base) => base !== resolve(options.dir)))
  }

  /**
   * @returns the manifest of a directory, or undefined if there is none
   * @throws MISMATCH if its sha256 is not the wanted one, or it has two sums for one file;
   *   BAD_FILE if it is not a small plain file, or has too many lines
   */
  manifestOf(dir: string): Promise<Manifest | undefined> {
    const key = resolve(dir)
    const wanted = this.#unbound.has(key) ? undefined : this.#options.sumsSha256
    const reading = this.#manifests.get(key) ?? readManifest(dir, wanted)
    this.#manifests.set(key, reading)
    return reading
  }

  /**
   * @returns the sha256 of a file by the manifest; undefined if there is no manifest, or if it
   *   does not list the file and unlisted files are accepted
   * @throws NOT_LISTED if the manifest does not list the file; otherwise as
   *   {@link Delivery.manifestOf}
   */
  async listedSum(file: string): Promise<string | undefined> {
    const manifest = await this.manifestOf(dirname(file))
    const sha256 = manifest?.sums.get(basename(file))
    if (manifest && sha256 === undefined && !this.#options.unlisted) throw notListed(file)
    return sha256
  }

  /**
   * @returns the content of a small file, or undefined if there is none
   * @throws NOT_LISTED if the manifest does not list it; MISMATCH if the manifest has another
   *   sha256 for it; BAD_FILE if it is not a small plain file
   */
  async readFile(file: string, maxBytes: number): Promise<Buffer | undefined> {
    const found = await readSmallFile(file, { maxBytes })
    if (found) await this.#checkSum(`"${basename(file)}"`, file, found.sha256)
    return found?.bytes
  }

  /**
   * @returns the catalog of a directory; it checks metadata against the manifest, and throws as
   *   {@link Delivery.readFile}
   */
  catalogOf(dir: string): Catalog {
    const key = resolve(dir)
    const check = (file: string, sha256: string): Promise<void> =>
      this.#checkSum('the metadata', file, sha256)
    const catalog = this.#catalogs.get(key) ?? new Catalog(dir, { check })
    this.#catalogs.set(key, catalog)
    return catalog
  }

  /**
   * @param archive - path of an archive
   * @returns its metadata, or undefined if there is none
   * @throws BAD_RECORD if the metadata is not valid; otherwise as {@link Delivery.readFile}
   */
  readMetadata(archive: string): Promise<ArchiveMetadata | undefined> {
    return this.catalogOf(dirname(archive)).metadataOf(archive)
  }

  async #checkSum(what: string, file: string, sha256: string): Promise<void> {
    const want = await this.listedSum(file)
    if (want === undefined) return
    expectEqual(`sha256 of ${what}, by SHA256SUMS`, sha256, want, hintFor(file))
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

// A delivery has a few files for each image. The limit is there because each listed file that
// is missing is looked for, and reported.
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
