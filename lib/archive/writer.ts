// Writes an archive from a tar in one pass: the tar is parsed, digested and split into
// segments, which are compressed, hashed and written. Then the archive is put in place with its
// metadata. A layer match by a header is confirmed by the layer's digest; a failed match costs
// a second pass, and never gives a wrong archive.
import { basename, dirname } from 'node:path'
import type { Readable } from 'node:stream'

import { interrupted } from '../core/errors.ts'
import type { ProgressListener } from '../core/outcome.ts'
import { commitArchive } from '../delivery/commit.ts'
import type { Directory } from '../delivery/directory.ts'
import type { IndexedLayer } from '../delivery/layer-index.ts'
import {
  METADATA_SCHEMA,
  type ArchiveMetadata,
  type SavedImage,
  type Segment,
} from '../delivery/metadata.ts'
import { incrementName } from '../delivery/name.ts'
import { countUncompared, type ExternalLayer } from '../image/docker-archive.ts'
import { createAtomicFile, type AtomicFile } from '../io/atomic-file.ts'
import { endChildren, withChildren } from '../io/child.ts'
import type { Task } from '../io/task.ts'
import type { TarDigest } from '../tar/digest.ts'
import { MatchFailed } from './layer-match.ts'
import { LayerSplitter, type KnownLayers, type LayerCut } from './layer-splitter.ts'
import { LayerVerifier } from './layer-verifier.ts'
import { SegmentWriter, type CompressOptions } from './segment-writer.ts'

/** Where an archive goes. */
export interface ArchiveTarget {
  readonly directory: Directory
  /** The path of the archive in it. An increment gets another name beside it. */
  readonly archive: string
}

/** The tar that an archive is made of. */
export interface TarInput {
  /**
   * @returns the tar, and the child that writes it, if any; called in each try, when there is a
   *   file to write to
   */
  readonly open: () => { readonly tar: Readable; readonly child?: Task | undefined }
  /** Whether to set the times and owners in the tar to constants. */
  readonly normalize: boolean
  /** Whether to decompress compressed layers and compare them with the config. */
  readonly verifyLayers?: boolean
  /** @returns the images in the tar; an error that it throws stops the archive */
  readonly describe: (tar: TarDigest) => readonly SavedImage[]
  /** When the tar was last changed, if it is a file. */
  readonly modified?: string
}

/** Who is told how far an archive is. */
export interface WriteListener {
  readonly onProgress: ProgressListener
  /**
   * Is called when the whole tar is read, though it is not all written yet. A second try calls
   * it again.
   */
  readonly onRead?: () => void
  /** Is called with the reason before each further try. */
  readonly onRetry: (reason: string) => void
}

/** Options of {@link writeArchive}. */
export interface WriteOptions {
  readonly target: ArchiveTarget
  readonly input: TarInput
  readonly layers: KnownLayers
  readonly compression: CompressOptions
  readonly listener: WriteListener
}

/** An archive that was written. */
export interface WrittenArchive {
  readonly metadata: ArchiveMetadata
  /** The layers that were copied from other archives. */
  readonly reused: readonly IndexedLayer[]
  /**
   * How many compressed layers could not be compared, because a program to decompress them is
   * missing.
   */
  readonly uncompared: number
}

/**
 * Writes an archive, and puts it in place with its metadata.
 *
 * @returns the archive that is now in place
 * @throws any error; if the archive is not yet in place then, the old one stays
 */
export async function writeArchive(options: WriteOptions): Promise<WrittenArchive> {
  const denylist = new Set<string>()
  for (let known = options, failedMatches = 0; ;) {
    const file = await createAtomicFile(dirname(options.target.archive))
    try {
      return await writeOnce(file, denylist, known)
    } catch (error) {
      if (!(error instanceof MatchFailed)) throw error
      failedMatches++
      if (failedMatches > MAX_FAILED_MATCHES || denylist.has(error.about)) {
        known = withFewerLayers(known, error)
      }
      denylist.add(error.about)
      options.listener.onRetry(error.message)
    } finally {
      await file.discard()
    }
  }
}

// Each failed match costs one read of the whole tar. After this many, or if the same match
// fails twice, no layer is copied any more, which costs only time. If a match fails even then,
// no layer is left out either.
const MAX_FAILED_MATCHES = 4

function withFewerLayers(known: WriteOptions, error: MatchFailed): WriteOptions {
  const { layers } = known
  if (layers.reuse.length > 0) return { ...known, layers: { ...layers, reuse: [] } }
  if (layers.excluded.size > 0) return { ...known, layers: { ...layers, excluded: new Map() } }
  throw new Error('a layer was matched though none is known', { cause: error })
}

async function writeOnce(
  file: AtomicFile,
  denylist: ReadonlySet<string>,
  options: WriteOptions,
): Promise<WrittenArchive> {
  const { input, target } = options
  const compressed = await compress(file, denylist, options)
  const { tar, cut } = compressed
  const images = input.describe(tar).map(withoutSettings)
  const metadata = describeArchive(compressed, images, options)
  await commitArchive(target.directory, file, metadata)
  const uncompared = input.verifyLayers ? countUncompared(images, tar) : 0
  return { metadata, reused: cut.reused, uncompared }
}

function describeArchive(
  { tar, cut, written }: Compressed,
  images: readonly SavedImage[],
  { target, input: { modified }, compression: { compressor, coding } }: WriteOptions,
): ArchiveMetadata {
  const isIncrement = cut.skipped.length > 0
  const path = isIncrement ? incrementName(target.archive) : target.archive
  const tarSizeBytes = written.segments.reduce((total, segment) => total + segment.tarSizeBytes, 0)
  if (!isIncrement && tarSizeBytes !== tar.sizeBytes) {
    throw new Error(`the segments hold ${tarSizeBytes} bytes of a tar of ${tar.sizeBytes}`)
  }
  return {
    schema: METADATA_SCHEMA,
    images,
    archive: {
      file: basename(path),
      sizeBytes: written.sizeBytes,
      sha256: written.sha256,
      ...coding,
      compressor: { name: compressor.name, version: compressor.version },
    },
    tar: {
      sizeBytes: tarSizeBytes,
      ...(tar.contentMd5 !== undefined && { contentMd5: tar.contentMd5 }),
      ...(modified !== undefined && { modified }),
    },
    segments: ofImages(written.segments, images),
    ...(isIncrement && { requires: cut.skipped.map(required) }),
  }
}

// A member that looks like a layer may belong to no image; metadata names layers of images only.
function ofImages(segments: readonly Segment[], images: readonly SavedImage[]): Segment[] {
  const layers = new Set(images.flatMap(({ layers: own }) => own.map((layer) => layer.digest)))
  return segments.map(({ layerDigest: digest, ...segment }) =>
    digest !== undefined && layers.has(digest) ? { ...segment, layerDigest: digest } : segment,
  )
}

// Settings are read from the tar when they are needed; metadata does not have them.
function withoutSettings(image: SavedImage): SavedImage {
  const { settings: _, ...saved } = image
  return saved
}

function required({ member, layer }: LayerCut['skipped'][number]): ExternalLayer {
  const { digest, sizeBytes, archive } = layer
  return { digest, sizeBytes, path: member.path, archive }
}

interface Compressed {
  readonly tar: TarDigest
  readonly cut: LayerCut
  readonly written: Awaited<ReturnType<SegmentWriter['finish']>>
}

interface Stages {
  readonly tar: Readable
  readonly splitter: LayerSplitter
  readonly writer: SegmentWriter
  readonly verifier: LayerVerifier | undefined
}

async function compress(
  file: AtomicFile,
  denylist: ReadonlySet<string>,
  { input, layers, compression, listener }: WriteOptions,
): Promise<Compressed> {
  const { normalize, verifyLayers } = input
  const { signal } = compression
  const { tar, child } = input.open()
  const children = child ? [child] : []
  const writer = new SegmentWriter(file.handle, children, compression)
  const verifier = verifyLayers ? new LayerVerifier() : undefined
  const splitter = new LayerSplitter(writer, { ...layers, normalize, denylist, tap: verifier })
  const stages = { tar, splitter, writer, verifier }
  const feeding = feed(stages, listener, signal).catch((error: unknown) => {
    // Without more to come they end by themselves, and are known not to be the reason.
    for (const each of children) each.stdin.destroy()
    throw error
  })
  try {
    const work = Promise.race([feeding, writer.failed])
    return await withChildren(children, signal, work)
  } finally {
    tar.destroy()
    // It may be waiting for a decoder.
    await verifier?.stop()
    await writer.end()
    await feeding.catch(() => {})
    // The feed may have started one more child while the others were ended.
    await endChildren(children)
  }
}

async function feed(
  { tar: source, splitter, writer, verifier }: Stages,
  { onProgress, onRead }: WriteListener,
  signal: AbortSignal,
): Promise<Compressed> {
  let tarBytes = 0
  for await (const chunk of source as AsyncIterable<Buffer>) {
    // While layers are copied there may be no child whose end tells so.
    if (signal.aborted) throw interrupted()
    tarBytes += chunk.length
    onProgress({ tarBytes, archiveBytes: writer.sizeBytes })
    await splitter.write(chunk)
    const busy = verifier?.ready()
    if (busy) await busy
  }
  onRead?.()
  const decoded = await verifier?.end()
  const { tar, cut } = await splitter.end()
  const written = await writer.finish()
  return { tar: { ...tar, ...(decoded && { decoded }) }, cut, written }
}
