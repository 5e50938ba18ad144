// Reads what is between the layers of an archive. That is little, and has the configs of the
// images.
import type { ArchiveMetadata } from '../delivery/metadata.ts'
import { readImages, type ArchivedImage } from '../image/docker-archive.ts'
import type { TarDigest } from '../tar/digest.ts'
import { assembleTar, type AssembleOptions } from './assembler.ts'

/** An archive with its metadata. */
export interface ArchiveWithMetadata {
  /** The path of the archive. */
  readonly archive: string
  readonly metadata: ArchiveMetadata
}

/**
 * @returns the digest of the archive's tar; the layers are not read, their digests come from
 *   the metadata
 * @throws MISMATCH, BAD_ARCHIVE, BAD_TAR or BAD_IMAGE if the metadata belongs to another
 *   archive, or the archive is damaged
 */
async function readBetweenLayers(
  { archive, metadata }: ArchiveWithMetadata,
  options: Omit<AssembleOptions, 'onProgress' | 'release'>,
): Promise<TarDigest> {
  const layers = new Set(metadata.segments.flatMap(({ layerDigest = [] }) => layerDigest))
  const assembly = { archive, metadata, excluded: layers, restored: [] }
  return assembleTar(assembly, { ...options, onProgress: () => {} })
}

/** The tar without the content of its layers, and the images in it. */
export interface BetweenLayers {
  readonly tar: TarDigest
  readonly images: readonly ArchivedImage[]
}

/** Reads what is between the layers of one archive. Further calls return the first result. */
export type ReadBetween = () => Promise<BetweenLayers>

/** @returns a reader for this archive; it fails as {@link readBetweenLayers} */
export function createBetweenReader(
  archived: ArchiveWithMetadata,
  options: Parameters<typeof readBetweenLayers>[1],
): ReadBetween {
  let read: Promise<BetweenLayers> | undefined
  const readOnce: ReadBetween = async () => {
    const tar = await readBetweenLayers(archived, options)
    return { tar, images: readImages(tar, archived.metadata.requires) }
  }
  return () => (read ??= readOnce())
}
