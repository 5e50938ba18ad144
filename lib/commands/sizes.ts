// What an outcome tells of an archive's size, and of the work that was spared.
import type { Result } from '../core/outcome.ts'
import type { ArchiveMetadata, CachedLayer } from '../delivery/metadata.ts'

/** @returns the sizes of tar and archive. */
export function archiveSizes(metadata: ArchiveMetadata): Pick<Result, 'tarBytes' | 'archiveBytes'> {
  return { tarBytes: metadata.tar.sizeBytes, archiveBytes: metadata.archive.sizeBytes }
}

/** @returns how much was taken from other archives, and how much was left out of this one. */
export function savings(
  metadata: ArchiveMetadata,
  reused: readonly CachedLayer[],
): Pick<Result, 'reusedBytes' | 'leftOutBytes'> {
  const { requires = [] } = metadata
  return {
    ...(reused.length > 0 && { reusedBytes: sum(reused) }),
    ...(requires.length > 0 && { leftOutBytes: sum(requires) }),
  }
}

/** @returns what there is to tell of compressed layers that were not compared, a sentence. */
export function uncomparedNote(count: number): string[] {
  if (count === 0) return []
  return [`${count} compressed layers were not compared with the config: no xz or bzip2 on PATH`]
}

/** @returns the size of some layers together, in bytes of tar. */
export function sum(layers: readonly { readonly sizeBytes: number }[]): number {
  return layers.reduce((total, { sizeBytes }) => total + sizeBytes, 0)
}
