// A tar from segments: those of an archive that are needed, and layers out of
// earlier archives in place of those that an increment lacks.
import type { RestoredLayer } from '../delivery/layer-plan.ts'
import type { ArchiveMetadata, Segment } from '../delivery/metadata.ts'
import { hexOf } from '../image/digest.ts'
import { readImages } from '../image/docker-archive.ts'
import type { StdinSink } from '../image/sink.ts'
import { TarDigester, type TarDigest } from '../tar/digest.ts'
import { memberHeader, padding } from '../tar/header.ts'
import { checkImages } from './check.ts'
import { scanLayer } from './layer-reader.ts'
import { PartScan, type ScannedPart } from './part-scan.ts'
import { readThrough, type ReadingOptions } from './pipeline.ts'

/** The parts of a tar. */
export interface Assembly {
  /** The path of the archive. */
  readonly archive: string
  readonly metadata: ArchiveMetadata
  /** Layers of the archive that are not read, by their digest. */
  readonly excluded: ReadonlySet<string>
  readonly restored: readonly RestoredLayer[]
}

/** How to read. */
export interface AssembleOptions extends ReadingOptions {
  /** Awaited when all is verified, before an engine gets the end. */
  readonly release?: () => Promise<void>
}

/**
 * Reads the needed parts of an archive, and sends the tar to an engine, if there is one. The
 * engine gets the end of the tar only after every segment and layer is verified, and the images
 * are those of the metadata. Bytes after the end of the tar are not sent.
 *
 * @returns the digest of the archive's own tar
 * @throws MISMATCH, BAD_ARCHIVE, BAD_TAR or BAD_IMAGE if anything is not as the metadata says;
 *   the engine's error if it failed
 */
export async function assembleTar(
  assembly: Assembly,
  options: AssembleOptions,
  sink?: StdinSink,
): Promise<TarDigest> {
  const { metadata, archive, excluded, restored } = assembly
  const [skipped, own] = divide(metadata.segments, excluded)
  const absent = new Map(
    skipped.map((segment) => [segment.tarOffsetBytes, hexOf(segment.layerDigest ?? '')]),
  )
  const digester = new TarDigester({ normalize: false, md5: false, absent, toEnd: true })
  let digest: TarDigest | undefined
  const verify = async (): Promise<void> => {
    digest = digester.end()
    checkImages(readImages(digest, metadata.requires), metadata)
    await options.release?.()
  }
  const parts = [
    ...restored.map(({ layer }) => layer),
    ...own.map((segment) => ({ archive, segment })),
  ]
  const scan = new PartScan([
    ...restored.map(scanRestored),
    ...own.map((segment) => scanSegment(segment, digester)),
  ])
  await readThrough({ parts, scan, verify }, options, sink)
  if (!digest) throw new Error('the tar was not read to its end')
  return digest
}

/** A member of its own, before the archive's own tar. */
function scanRestored({ layer, external }: RestoredLayer): ScannedPart {
  const scanned = scanLayer(layer)
  return {
    ...scanned,
    begin: () => [memberHeader(external.path, layer.sizeBytes)],
    end: () => [...(scanned.end?.() ?? []), padding(layer.sizeBytes)],
  }
}

function scanSegment({ tarSizeBytes }: Segment, digester: TarDigester): ScannedPart {
  return {
    sizeBytes: tarSizeBytes,
    write: (bytes) => digester.write(bytes).map((piece) => piece.bytes),
  }
}

function divide(
  segments: readonly Segment[],
  excluded: ReadonlySet<string>,
): [skipped: Segment[], own: Segment[]] {
  const isSkipped = ({ layerDigest }: Segment): boolean =>
    layerDigest !== undefined && excluded.has(layerDigest)
  return [segments.filter(isSkipped), segments.filter((segment) => !isSkipped(segment))]
}
