// What lies between the layers of an archive: soon read, and it tells which images
// the archive holds, with their configs.
import type { ArchiveRecord } from './archive-record.ts'
import { readImages } from './docker-archive.ts'
import type { ReadImages } from './present-image.ts'
import { assembleTar, type AssembleOptions } from './tar-assembler.ts'
import type { TarDigest } from './tar-digest.ts'

/** An archive, and what is told of it. */
export interface RecordedArchive {
  /** Path of the archive. */
  readonly archive: string
  readonly record: ArchiveRecord
}

/**
 * @returns the archive's tar; its layers are taken to be what the record says
 * @throws MISMATCH, BAD_ARCHIVE, BAD_TAR or BAD_IMAGE where the record does not speak of this archive
 */
export async function readBetweenLayers(
  { archive, record }: RecordedArchive,
  options: Omit<AssembleOptions, 'onProgress' | 'release'>,
): Promise<TarDigest> {
  const layers = new Set(record.segments.flatMap(({ layerDigest = [] }) => layerDigest))
  const assembly = { archive, record, omit: layers, putBack: [] }
  return assembleTar(assembly, { ...options, onProgress: () => {} })
}

/** @returns what reads the images of an archive, once, as {@link readBetweenLayers} does. */
export function createImageReader(
  archived: RecordedArchive,
  options: Parameters<typeof readBetweenLayers>[1],
): ReadImages {
  let read: ReturnType<ReadImages> | undefined
  const readOnce: ReadImages = async () => {
    const tar = await readBetweenLayers(archived, options)
    return readImages(tar, archived.record.requires)
  }
  return () => (read ??= readOnce())
}
