// The sizes in an outcome: of the archive, and of the layers that were not compressed.
import type { Result } from '../core/outcome.ts'
import type { ArchiveMetadata, CachedLayer } from '../delivery/metadata.ts'

/** @returns the sizes of tar and archive, in bytes */
export function archiveSizes(metadata: ArchiveMetadata): Pick<Result, 'tarBytes' | 'archiveBytes'> {
  return { tarBytes: metadata.tar.sizeBytes, archiveBytes: metadata.archive.sizeBytes }
}

/**
 * @returns the sizes of the layers that were copied from other archives, and of those left out,
 *   in bytes of tar
 */
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

/** @returns a note about compressed layers that were not compared; empty if there are none */
export function uncomparedNote(count: number): string[] {
  if (count === 0) return []
  return [`${count} compressed layers were not compared with the config: no xz or bzip2 on PATH`]
}

/** @returns the total size of some layers, in bytes of tar */
export function sum(layers: readonly { readonly sizeBytes: number }[]): number {
  return layers.reduce((total, { sizeBytes }) => total + sizeBytes, 0)
}
