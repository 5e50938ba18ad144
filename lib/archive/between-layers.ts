// What lies between the layers of an archive: soon read, and it tells which images
// the archive holds, with their configs.
import type { ArchiveMetadata } from '../delivery/metadata.ts'
import { readImages, type ArchivedImage } from '../image/docker-archive.ts'
import { assembleTar, type AssembleOptions } from './assembler.ts'
import type { TarDigest } from '../tar/digest.ts'

/** An archive, and what is told of it. */
export interface ArchiveWithMetadata {
  /** Path of the archive. */
  readonly archive: string
  readonly metadata: ArchiveMetadata
}

/**
 * @returns the archive's tar; its layers are taken to be what the metadata says
 * @throws MISMATCH, BAD_ARCHIVE, BAD_TAR or BAD_IMAGE where the metadata does not speak of this archive
 */
async function readBetweenLayers(
  { archive, metadata }: ArchiveWithMetadata,
  options: Omit<AssembleOptions, 'onProgress' | 'release'>,
): Promise<TarDigest> {
  const layers = new Set(metadata.segments.flatMap(({ layerDigest = [] }) => layerDigest))
  const assembly = { archive, metadata, excluded: layers, restored: [] }
  return assembleTar(assembly, { ...options, onProgress: () => {} })
}

/** What lies between the layers of an archive, and the images that it tells of. */
export interface BetweenLayers {
  readonly tar: TarDigest
  readonly images: readonly ArchivedImage[]
}

/** Reads what lies between the layers of one archive; as often as it is called, once. */
export type ReadBetween = () => Promise<BetweenLayers>

/** @returns what reads it as {@link readBetweenLayers} does */
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
