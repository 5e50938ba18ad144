// What was read of an archive against what its record and SHA256SUMS say.
import { expectEqual } from '../delivery/expect-equal.ts'
import { isIncrementName } from '../delivery/name.ts'
import type { ReadArchive } from './reader.ts'
import type { ArchiveRecord } from '../delivery/metadata.ts'
import type { ArchivedImage } from '../image/docker-archive.ts'
import { ToolError } from '../core/errors.ts'
import { hashFile } from '../io/file-range.ts'

/** @throws MISMATCH where it is not what its record says */
export function checkAgainstRecord(read: ReadArchive, record: ArchiveRecord): void {
  const { archive, tar } = record
  expectEqual('sha256 of the archive', read.archive.sha256, archive.sha256)
  expectEqual('size of the archive', read.archive.sizeBytes, archive.sizeBytes)
  expectEqual('size of the tar', read.tar.sizeBytes, tar.sizeBytes)
  if (read.tar.contentMd5 !== undefined && tar.contentMd5 !== undefined) {
    expectEqual('content md5', read.tar.contentMd5, tar.contentMd5)
  }
  checkImages(read.images, record)
  checkSegments(read, record)
}

// What they say is relied on when only some of them are read.
function checkSegments(read: ReadArchive, { segments }: ArchiveRecord): void {
  const members = new Map(
    [...(read.tar.members?.values() ?? [])].map((member) => [member.offsetBytes, member.sha256]),
  )
  for (const [index, { sha256, tarOffsetBytes, layerDigest }] of segments.entries()) {
    expectEqual(`sha256 of segment ${index}`, read.segments[index] ?? 'none', sha256)
    if (layerDigest === undefined) continue
    expectEqual(`layer in segment ${index}`, `sha256:${members.get(tarOffsetBytes)}`, layerDigest)
  }
}

/** @throws MISMATCH where the images in a tar are not those of its record */
export function checkImages(
  images: readonly ArchivedImage[],
  record: Pick<ArchiveRecord, 'images'>,
): void {
  expectEqual('images', describe(images), describe(record.images))
}

function describe(images: readonly ArchivedImage[]): string {
  return images
    .map(({ repoTags, platform, configDigest, layers }) => {
      return [...repoTags, platform, configDigest, ...layers.map((layer) => layer.diffId)]
    })
    .join()
}

/** What an archive's sha256 is compared with. */
export interface ExpectedArchive {
  readonly record: ArchiveRecord | undefined
  /** By SHA256SUMS. */
  readonly listed: string | undefined
}

/**
 * Checks the sha256 of an archive, and nothing else.
 *
 * @throws MISMATCH, NO_RECORD where neither record nor SHA256SUMS tell it
 */
export async function quickCheck(
  archive: string,
  { record, listed }: ExpectedArchive,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  if (!record && listed === undefined) {
    throw new ToolError(
      'NO_RECORD',
      `check "${archive}": neither a record nor SHA256SUMS names it`,
      {
        hint: 'leave out --quick to check what the archive itself can prove',
      },
    )
  }
  const sha256 = await hashFile(archive, signal)
  if (record) expectEqual('sha256 of the archive', sha256, record.archive.sha256)
  checkListed(sha256, listed)
}

/** @throws MISMATCH where the sha256 of an archive is not the one of SHA256SUMS */
export function checkListed(sha256: string, listed: string | undefined): void {
  if (listed !== undefined) expectEqual('sha256 of the archive, by SHA256SUMS', sha256, listed)
}

/** @throws NO_RECORD for an increment, which means nothing without one */
export function checkNotIncrement(action: string, archive: string): void {
  if (!isIncrementName(archive)) return
  throw new ToolError('NO_RECORD', `${action} "${archive}": there is no record beside it`, {
    hint: 'an increment needs its record to say what it lacks: copy its .json as well',
  })
}
