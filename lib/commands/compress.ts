// Compresses existing tar files into archives in the delivery. The bytes of the tar are not
// changed. Any tar is accepted; if it is a saved image, the metadata describes the image.
import { readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'

import { writeArchive, type WrittenArchive } from '../archive/writer.ts'
import { CODECS, ENDINGS, type Coding } from '../codec/formats.ts'
import type { CompressionChoice } from '../codec/options.ts'
import { findCompressors, type Compressors } from '../codec/programs.ts'
import { ToolError, ignoreNotFound, type ErrorCode } from '../core/errors.ts'
import { toOutcome, type Outcome, type Result, type RunContext } from '../core/outcome.ts'
import { hasControls } from '../core/visible-text.ts'
import type { Catalog } from '../delivery/catalog.ts'
import { forgetArchive, listChecksums } from '../delivery/commit.ts'
import { noteLeftOut } from '../delivery/delivered-list.ts'
import { checkDirectory, openCatalogs, Directory } from '../delivery/directory.ts'
import { examineArchive, isUpToDate, type ExistingArchive } from '../delivery/existing-archive.ts'
import { checkIndexed, findIndexed } from '../delivery/layer-sources.ts'
import type { ArchiveMetadata } from '../delivery/metadata.ts'
import { readImages } from '../image/docker-archive.ts'
import { streamFile } from '../io/archive-file.ts'
import { archiveSizes, savings, uncomparedNote } from './sizes.ts'
import { openForWriting } from './writing-run.ts'

/** What to do with layers; `D` stands for a directory. */
interface LayerOptions<D> {
  /** Whether to decompress compressed layers and compare them with the config of their image. */
  readonly verifyLayers: boolean
  /** Other directories with archives from which layers can be copied. */
  readonly reuse: readonly D[]
}

/** Options of {@link compress}. */
export interface CompressOptions {
  /** Paths of tars; if empty, all tars in the delivery that are plain files. */
  readonly names: readonly string[]
  readonly dir: string
  readonly compression: CompressionChoice
  readonly layers: LayerOptions<string>
  readonly force: boolean
  readonly dryRun: boolean
}

interface OpenedOptions extends RunContext, Pick<CompressOptions, 'force' | 'dryRun'> {
  readonly directory: Directory
  readonly coding: Coding
  readonly layers: LayerOptions<Catalog>
}

/**
 * @returns one outcome for each tar
 * @throws before anything is written: NO_ARCHIVE if there is no tar; USAGE, NAME_CLASH,
 *   NO_DIRECTORY, NOT_WRITABLE, BUSY, NO_COMPRESSOR; at any time INTERRUPTED
 */
export async function* compress(
  options: CompressOptions,
  context: RunContext,
): AsyncGenerator<Outcome> {
  const { dir, compression, layers, force, dryRun } = options
  const { coding } = compression
  const warn = (text: string): void => context.notify({ type: 'warning', text })
  for (const each of [dir, ...layers.reuse]) await checkDirectory(each)
  const tars = await findTars(options, context)
  const compressors = await findCompressors({ ...context, ...compression })
  const directory = new Directory(dir)
  const reuse = await openCatalogs(layers.reuse, directory)
  await checkIndexed({ force, reuse }, warn)
  const given = { ...context, directory, coding, layers: { ...layers, reuse }, force, dryRun }
  const close = dryRun ? async () => {} : await openForWriting(directory, 'compress_tars', context)
  try {
    for (const tar of tars) {
      const name = nameOf(tar, coding)
      yield await toOutcome(basename(tar), name, context, () =>
        compressTar(tar, compressors, given),
      )
    }
    const text = await noteLeftOut(directory)
    if (text !== undefined) warn(text)
  } finally {
    await close()
  }
}

function nameOf(tar: string, coding: Coding): string {
  return basename(tar, '.tar') + ENDINGS[coding.codec]
}

async function findTars(
  { names, dir, compression }: CompressOptions,
  context: RunContext,
): Promise<string[]> {
  const tars = names.length > 0 ? [...new Set(names)] : await listTars(dir, context)
  const seen = new Map<string, string>()
  for (const tar of tars) {
    const name = basename(tar)
    const other = seen.get(name)
    if (!name.endsWith('.tar')) {
      throw new ToolError('USAGE', `compress "${tar}": want a file named *.tar`, {
        hint: 'see --help',
      })
    }
    if (other !== undefined) {
      throw new ToolError(
        'NAME_CLASH',
        `"${other}" and "${tar}" would both be written to "${nameOf(tar, compression.coding)}"`,
        { hint: 'compress them into different directories with --dir' },
      )
    }
    seen.set(name, tar)
  }
  return tars
}

async function listTars(dir: string, { notify }: RunContext): Promise<string[]> {
  const entries = await readdir(dir, { withFileTypes: true })
  // Leaves out hidden files: on some disks, macOS adds a file `._NAME` for each file.
  const found = entries
    .filter(({ name }) => name.endsWith('.tar') && !name.startsWith('.'))
    .toSorted((left, right) => (left.name < right.name ? -1 : 1))
  for (const entry of found.filter((each) => !each.isFile())) {
    // Whoever filled the directory could let a link lead to any file of this host.
    const why = entry.isSymbolicLink()
      ? 'it is a symbolic link; name it to compress what it leads to'
      : 'not a file'
    notify({ type: 'warning', text: `"${join(dir, entry.name)}" is passed over: ${why}` })
  }
  const tars = found.filter((entry) => entry.isFile()).map(({ name }) => join(dir, name))
  if (tars.length > 0) return tars
  throw new ToolError('NO_ARCHIVE', `no *.tar files in "${dir}"`, {
    hint: 'name the tars, or their directory with --dir',
  })
}

/** A tar, as it is before it is read. */
interface TarFile {
  readonly path: string
  readonly sizeBytes: number
  readonly modified: string | undefined
}

async function compressTar(
  path: string,
  compressors: Compressors,
  options: OpenedOptions,
): Promise<Result> {
  const { directory } = options
  const archive = join(directory.dir, nameOf(path, options.coding))
  const tar = await statTar(path)
  const existing = await examineArchive(directory, archive)
  const metadata = existing?.metadata
  if (
    metadata &&
    isMadeOf(metadata, tar) &&
    (await isUpToDate(directory, { archive, metadata }, options))
  ) {
    if (options.dryRun) return result('up to date', metadata)
    await listChecksums(directory, archive, metadata)
    return result('up to date', metadata, await removeOther(archive, options))
  }
  if (!options.force) await checkReplaced(archive, existing, options)
  if (options.dryRun) return { result: 'would be compressed', tarBytes: tar.sizeBytes }
  options.notify({ type: 'step', text: `Compressing ${basename(path)}...` })
  const written = await write(tar, archive, compressors, options)
  const notes = [...uncomparedNote(written.uncompared), ...(await removeOther(archive, options))]
  return {
    ...result('compressed', written.metadata, notes),
    ...savings(written.metadata, written.reused),
  }
}

function isMadeOf({ tar }: ArchiveMetadata, { sizeBytes, modified }: TarFile): boolean {
  return modified !== undefined && tar.modified === modified && tar.sizeBytes === sizeBytes
}

async function write(
  { path, sizeBytes, modified }: TarFile,
  archive: string,
  compressors: Compressors,
  options: OpenedOptions,
): Promise<WrittenArchive> {
  const { directory, layers, coding, threads, signal, notify } = options
  return writeArchive({
    target: { directory, archive },
    input: {
      open: () => ({ tar: streamFile(path) }),
      normalize: false,
      verifyLayers: layers.verifyLayers,
      describe: (digest) => {
        checkSize(path, digest.sizeBytes, sizeBytes)
        return readImages(digest)
      },
      ...(modified !== undefined && { modified }),
    },
    layers: { reuse: await findIndexed({ ...options, ...layers }), excluded: new Map() },
    compression: { ...compressors, coding, threads, signal },
    listener: {
      onRetry: (reason) => notify({ type: 'warning', text: `${reason}; it is read again` }),
      onProgress: (progress) => {
        const share = Math.min(1, progress.tarBytes / sizeBytes)
        notify({ type: 'progress', label: basename(path), ...progress, share })
      },
    },
  })
}

async function statTar(path: string): Promise<TarFile> {
  const found = await stat(path).catch(ignoreNotFound)
  const refuse = (code: ErrorCode, why: string, hint: string): ToolError =>
    new ToolError(code, `compress "${path}": ${why}`, { hint })
  if (!found) throw refuse('NO_ARCHIVE', 'file not found', 'check its name')
  if (!found.isFile()) throw refuse('NO_ARCHIVE', 'not a file', 'name the tar itself')
  // The name becomes the file name in the metadata, which refuses both. A backslash could lead
  // to another directory.
  const name = basename(path)
  if (name.includes('\\')) throw refuse('USAGE', 'its name has a backslash', 'rename it')
  if (hasControls(name)) {
    throw refuse('USAGE', 'its name has control characters', 'rename it')
  }
  const { size: sizeBytes, mtime } = found
  // A file system may hold a time outside the range of a Date.
  const modified = Number.isNaN(mtime.getTime()) ? undefined : mtime.toISOString()
  return { path, sizeBytes, modified }
}

async function checkReplaced(
  archive: string,
  existing: ExistingArchive | undefined,
  { directory, coding }: OpenedOptions,
): Promise<void> {
  if (existing?.refusal) throw existing.refusal
  for (const other of otherFormats(archive, coding)) {
    const beside = await examineArchive(directory, other)
    if (beside?.refusal) throw beside.refusal
  }
  const saved = existing?.metadata?.images[0]?.reference
  if (saved === undefined) return
  throw new ToolError('NAME_CLASH', `write "${archive}": it holds "${saved}", which was saved`, {
    hint: 'compress into another directory with --dir, or use --force to replace it',
  })
}

function otherFormats(archive: string, { codec }: Coding): string[] {
  const stem = archive.slice(0, -ENDINGS[codec].length)
  return CODECS.filter((other) => other !== codec).map((other) => stem + ENDINGS[other])
}

// An archive in the other format is of an older state of the tar.
async function removeOther(archive: string, options: OpenedOptions): Promise<string[]> {
  const notes: string[] = []
  for (const other of otherFormats(archive, options.coding)) {
    const existing = await examineArchive(options.directory, other)
    if (!existing) continue
    const isReplaced = existing.refusal
      ? options.force
      : existing.metadata?.tar.modified !== undefined
    if (isReplaced) {
      await forgetArchive(options.directory, other)
      notes.push(`it takes the place of ${basename(other)}`)
    } else if (existing.refusal) {
      notes.push(`${basename(other)} beside it stays: its metadata cannot be read`)
    }
  }
  return notes
}

function checkSize(tar: string, got: number, want: number): void {
  if (got === want) return
  throw new ToolError('BAD_TAR', `compress "${tar}": size: got ${got} bytes, want ${want}`, {
    hint: 'it was changed while it was being read: run it again',
  })
}

function result(
  what: Result['result'],
  metadata: ArchiveMetadata,
  notes: readonly string[] = [],
): Result {
  const no = metadata.images.length === 0 ? ['not a saved image: it cannot be loaded'] : []
  return { result: what, ...archiveSizes(metadata), notes: [...no, ...notes] }
}
