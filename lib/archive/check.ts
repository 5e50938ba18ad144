// What was read of an archive against what its metadata and SHA256SUMS say.
import { toDigest } from '../image/digest.ts'
import { expectEqual } from '../delivery/expect-equal.ts'
import { isIncrementName } from '../delivery/name.ts'
import type { ReadArchive } from './reader.ts'
import type { ArchiveMetadata } from '../delivery/metadata.ts'
import type { ArchivedImage } from '../image/docker-archive.ts'
import { ToolError } from '../core/errors.ts'
import { hashFile } from '../io/file-range.ts'

/** @throws MISMATCH where it is not what its metadata says */
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

// What they say is relied on when only some of them are read.
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

/** @throws MISMATCH where the images in a tar are not those of its metadata */
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

/** What an archive's sha256 is compared with. */
export interface ExpectedArchive {
  readonly metadata: ArchiveMetadata | undefined
  /** By SHA256SUMS. */
  readonly listed: string | undefined
}

/**
 * Checks the sha256 of an archive, and nothing else.
 *
 * @throws MISMATCH, NO_RECORD where neither metadata nor SHA256SUMS tell it
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
  const sha256 = await hashFile(archive, signal)
  if (metadata) expectEqual('sha256 of the archive', sha256, metadata.archive.sha256)
  checkListed(sha256, listed)
}

/** @throws MISMATCH where the sha256 of an archive is not the one of SHA256SUMS */
export function checkListed(sha256: string, listed: string | undefined): void {
  if (listed !== undefined) expectEqual('sha256 of the archive, by SHA256SUMS', sha256, listed)
}

/** @throws NO_RECORD for an increment, which means nothing without one */
export function checkNotIncrement(action: string, archive: string): void {
  if (!isIncrementName(archive)) return
  throw new ToolError('NO_RECORD', `${action} "${archive}": no metadata beside it`, {
    hint: 'an increment needs its metadata to say what it lacks: copy its .json as well',
  })
}
