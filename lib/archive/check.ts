// What was read of an archive against what its metadata and SHA256SUMS say.
import { ToolError } from '../core/errors.ts'
import { expectEqual } from '../delivery/expect-equal.ts'
import type { ArchiveMetadata } from '../delivery/metadata.ts'
import { isIncrementName } from '../delivery/name.ts'
import { toDigest } from '../image/digest.ts'
import type { ArchivedImage } from '../image/docker-archive.ts'
import { hashArchive, archiveAt } from '../io/archive-file.ts'
import type { ReadArchive } from './reader.ts'

/** @throws MISMATCH if the archive is not as its metadata says */
export function checkAgainstMetadata(read: ReadArchive, metadata: ArchiveMetadata): void {
  const { archive, tar } = metadata
  expectEqual('sha256 of the archive', read.archive.sha256, archive.sha256)
  expectEqual('size of the archive', read.archive.sizeBytes, archive.sizeBytes)
  expectEqual('size of the tar', read.tar.sizeBytes, tar.sizeBytes)
  if (read.tar.contentMd5 !== undefined && tar.contentMd5 !== undefined) {
    expectEqual('content md5', read.tar.contentMd5, tar.contentMd5)
  }
  checkImages(read.images, metadata)
  checkSegments(read, metadata)
}

// A later load may read only some segments, and then relies on what the metadata says of them.
function checkSegments(read: ReadArchive, { segments }: ArchiveMetadata): void {
  const members = new Map(
    [...(read.tar.members?.values() ?? [])].map((member) => [member.offsetBytes, member.sha256]),
  )
  for (const [index, { sha256, tarOffsetBytes, layerDigest }] of segments.entries()) {
    expectEqual(`sha256 of segment ${index}`, read.segments[index] ?? 'none', sha256)
    if (layerDigest === undefined) continue
    expectEqual(
      `layer in segment ${index}`,
      toDigest(String(members.get(tarOffsetBytes))),
      layerDigest,
    )
  }
}

/** @throws MISMATCH if the images in a tar are not those of its metadata */
export function checkImages(
  images: readonly ArchivedImage[],
  metadata: Pick<ArchiveMetadata, 'images'>,
): void {
  expectEqual('images', describe(images), describe(metadata.images))
}

function describe(images: readonly ArchivedImage[]): string {
  return images
    .map(({ repoTags, platform, config, layers }) => {
      return [...repoTags, platform, config.digest, ...layers.map((layer) => layer.diffId)]
    })
    .join()
}

/** What the sha256 of an archive is compared with. */
export interface ExpectedArchive {
  readonly metadata: ArchiveMetadata | undefined
  /** The sha256 in SHA256SUMS, or undefined if it has none. */
  readonly listed: string | undefined
}

/**
 * Checks only the sha256 of an archive.
 *
 * @throws MISMATCH if it differs; NO_RECORD if neither metadata nor SHA256SUMS has it
 */
export async function quickCheck(
  archive: string,
  { metadata, listed }: ExpectedArchive,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  if (!metadata && listed === undefined) {
    throw new ToolError(
      'NO_RECORD',
      `check "${archive}": neither metadata nor SHA256SUMS names it`,
      {
        hint: 'leave out --quick to check what can be verified by the archive alone',
      },
    )
  }
  const sha256 = await hashArchive(archiveAt(archive), signal)
  if (metadata) expectEqual('sha256 of the archive', sha256, metadata.archive.sha256)
  checkListed(sha256, listed)
}

/** @throws MISMATCH if SHA256SUMS has another sha256 for the archive */
export function checkListed(sha256: string, listed: string | undefined): void {
  if (listed !== undefined) expectEqual('sha256 of the archive, by SHA256SUMS', sha256, listed)
}

/**
 * @throws NO_RECORD if the archive is an increment; called without metadata, which an increment
 *   needs
 */
export function checkNotIncrement(action: string, archive: string): void {
  if (!isIncrementName(archive)) return
  throw new ToolError('NO_RECORD', `${action} "${archive}": no metadata beside it`, {
    hint: 'an increment needs its metadata to say what it lacks: copy its .json as well',
  })
}
