// Tar in, archive out, in one pass: scanned, digested, cut into segments at its
// layers, compressed, hashed and written at once, then put in place together
// with its record. What is known of a layer by its header is a guess, which its
// digest has to confirm; a wrong one costs a second try, never a wrong archive.
import { basename, dirname, join } from 'node:path'
import type { Readable } from 'node:stream'

import { incrementName } from '../delivery/name.ts'
import { RECORD_SCHEMA, type ArchiveRecord, type RecordedImage } from '../delivery/metadata.ts'
import { createAtomicFile, type AtomicFile } from '../io/atomic-file.ts'
import { commitArchive } from '../delivery/directory.ts'
import { endChildren, withChildren, type Child } from '../io/child.ts'
import type { DeliveredLayer } from '../delivery/delivered-layers.ts'
import { countUncompared, layerDigest, type RequiredLayer } from '../image/docker-archive.ts'
import { interrupted } from '../core/errors.ts'
import type { HeldLayer } from '../delivery/layer-index.ts'
import { createLayerVerifier } from './layer-verifier.ts'
import type { ProgressListener } from '../core/outcome.ts'
import { createSegmentWriter, type CompressOptions } from './segment-writer.ts'
import { WrongGuess } from './layer-match.ts'
import { cutTar, type LayerCut } from './cutter.ts'
import type { TarDigest } from '../tar/digest.ts'

/** What {@link writeArchive} needs. */
export interface WriteOptions extends CompressOptions {
  /** Path of the archive; an increment gets its own name beside it. */
  readonly archive: string
  /** @returns the tar, and the child that it comes from, if any; called once there is a file to write to. */
  readonly open: () => { readonly tar: Readable; readonly child?: Child }
  /** Whether times and owners in the tar are set to constants. */
  readonly constant: boolean
  /** Whether compressed layers are decompressed and compared, too. */
  readonly verifyLayers?: boolean
  /** @returns the images in the tar; what it throws stops the archive from being made. */
  readonly describe: (tar: TarDigest) => readonly RecordedImage[]
  /** When the tar was last changed, where it is a file. */
  readonly modified?: string
  /** Layers that need not be compressed again. */
  readonly reuse: readonly HeldLayer[]
  /** Layers to leave out, by digest. */
  readonly leaveOut: ReadonlyMap<string, DeliveredLayer>
  /** The layers of the image, where they are known before. */
  readonly expected?: ReadonlySet<string>
  readonly onProgress: ProgressListener
  /** Told when all of the tar was read, though not all is written; again where a second try is made. */
  readonly onRead?: () => void
  /** Told where a second try is made, and why. */
  readonly onRetry: (reason: string) => void
  readonly signal: AbortSignal
}

/** An archive that was written. */
export interface WrittenArchive {
  readonly record: ArchiveRecord
  /** The layers that came from other archives. */
  readonly reused: readonly HeldLayer[]
  /** How many compressed layers were to be decompressed and could not be, for want of a program. */
  readonly uncompared: number
}

/**
 * @returns what now lies at its place
 * @throws whatever went wrong; then what was there before is still there
 */
export async function writeArchive(options: WriteOptions): Promise<WrittenArchive> {
  const distrusted = new Set<string>()
  for (let known = options, wrongGuesses = 0; ;) {
    const file = await createAtomicFile(dirname(options.archive))
    try {
      return await writeOnce(file, distrusted, known)
    } catch (error) {
      if (!(error instanceof WrongGuess)) throw error
      wrongGuesses++
      if (wrongGuesses > MAX_WRONG_GUESSES || distrusted.has(error.about)) {
        known = withFewerLayers(known, error)
      }
      distrusted.add(error.about)
      options.onRetry(error.message)
    } finally {
      await file.discard()
    }
  }
}

// Each costs a read of all of the tar. Past these, or where one teaches nothing, nothing
// is guessed any more: first no layer is copied, which costs time only, then none is
// left out.
const MAX_WRONG_GUESSES = 4

function withFewerLayers(known: WriteOptions, error: WrongGuess): WriteOptions {
  if (known.reuse.length > 0) return { ...known, reuse: [] }
  if (known.leaveOut.size > 0) return { ...known, leaveOut: new Map() }
  throw new Error('a layer was guessed though none is known', { cause: error })
}

async function writeOnce(
  file: AtomicFile,
  distrusted: ReadonlySet<string>,
  options: WriteOptions,
): Promise<WrittenArchive> {
  const { tar, cut, written } = await compress(file, distrusted, options)
  const images = options.describe(tar).map(withoutSettings)
  const layers = new Set(images.flatMap((image) => image.layers.map(layerDigest)))
  await file.finish()
  const { modified, compressor, coding } = options
  const path = cut.leftOut.length > 0 ? incrementName(options.archive) : options.archive
  const segments = written.segments.map(({ layerDigest: digest, ...segment }) =>
    digest !== undefined && layers.has(digest) ? { ...segment, layerDigest: digest } : segment,
  )
  const tarSizeBytes = segments.reduce((total, segment) => total + segment.tarSizeBytes, 0)
  if (cut.leftOut.length === 0 && tarSizeBytes !== tar.sizeBytes) {
    throw new Error(`the segments hold ${tarSizeBytes} bytes of a tar of ${tar.sizeBytes}`)
  }
  const record: ArchiveRecord = {
    schema: RECORD_SCHEMA,
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
    segments,
    ...(cut.leftOut.length > 0 && { requires: cut.leftOut.map(required) }),
  }
  await commitArchive(join(dirname(options.archive), record.archive.file), file, record)
  const uncompared = options.verifyLayers ? countUncompared(images, tar) : 0
  return { record, reused: cut.reused, uncompared }
}

// They are read from a tar where they are wanted, and are no part of the metadata.
function withoutSettings(image: RecordedImage): RecordedImage {
  const { settings: _, ...recorded } = image
  return recorded
}

function required({ member, layer }: LayerCut['leftOut'][number]): RequiredLayer {
  const { digest, sizeBytes, archive } = layer
  return { digest, sizeBytes, path: member.path, archive }
}

async function compress(
  file: AtomicFile,
  distrusted: ReadonlySet<string>,
  options: WriteOptions,
): Promise<{
  tar: TarDigest
  cut: LayerCut
  written: { segments: ArchiveRecord['segments']; sizeBytes: number; sha256: string }
}> {
  const source = options.open()
  const children = source.child ? [source.child] : []
  const writer = createSegmentWriter(file.handle, children, options)
  const verifier = options.verifyLayers ? createLayerVerifier() : undefined
  const cutter = cutTar(writer, { ...options, distrusted, tap: verifier })
  let tarBytes = 0

  const feed = async () => {
    for await (const chunk of source.tar as AsyncIterable<Buffer>) {
      // While layers are copied there may be no child whose end tells so.
      if (options.signal.aborted) throw interrupted()
      tarBytes += chunk.length
      options.onProgress({ tarBytes, archiveBytes: writer.sizeBytes })
      await cutter.write(chunk)
      const busy = verifier?.ready()
      if (busy) await busy
    }
    options.onRead?.()
    const decoded = await verifier?.end()
    const { tar, cut } = await cutter.end()
    const written = await writer.finish()
    return { tar: { ...tar, ...(decoded && { decoded }) }, cut, written }
  }
  const feeding = feed().catch((error: unknown) => {
    // Without more to come they end by themselves, and are known not to be the reason.
    for (const child of children) child.stdin.destroy()
    throw error
  })
  try {
    const work = Promise.race([feeding, writer.failed])
    return await withChildren(children, options.signal, work)
  } finally {
    source.tar.destroy()
    // It may be waiting for a decoder.
    await verifier?.stop()
    await writer.end()
    await feeding.catch(() => {})
    // It may have begun one more while the others were ended.
    await endChildren(children)
  }
}
