// What was read of an archive against what its record and SHA256SUMS say.
import { expectEqual } from './delivery/expect-equal.ts'
import { isIncrementName } from './delivery/name.ts'
import type { ReadArchive } from './archive-reader.ts'
import type { ArchiveRecord } from './delivery/metadata.ts'
import type { ArchivedImage } from './image/docker-archive.ts'
import { ToolError } from './core/errors.ts'
import { hashFile } from './io/file-range.ts'
import { familiarName, parseReference, taggedName, type ImageReference } from './image/reference.ts'
import type { Target } from './targets.ts'

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

/** Images of an archive, by its metadata or its tar. */
type Named = Pick<ArchiveRecord, 'images'>

/** @throws MISMATCH where an archive holds other images than the one that was named */
export function checkNamed({ archive, reference }: Target, named: Named): void {
  if (!reference || isNamed(reference, named)) return
  const got = named.images.flatMap(({ reference: saved, repoTags }) => saved ?? repoTags)
  throw new ToolError('MISMATCH', `read "${archive}": got ${got.join()}, want ${reference.text}`, {
    hint: 'it has the archive name of both: name the image that is in it, or the archive itself',
  })
}

/** @returns a note for each name of an archive's images that was not asked for, up to some */
export function noteOtherNames({ reference }: Target, { images }: Named): string[] {
  const wanted = reference && taggedName(reference)
  if (wanted === undefined) return []
  const others = images.flatMap(({ repoTags }) => repoTags).filter((tag) => !isNameOf(wanted, tag))
  const some = others.slice(0, MAX_NAMES).join(', ')
  const more = others.length > MAX_NAMES ? ` and ${others.length - MAX_NAMES} more names` : ''
  return others.length > 0 ? [`it is named ${some}${more} as well`] : []
}

const MAX_NAMES = 5

/** @throws MISMATCH where metadata name an image by a tag that its tar does not give it */
export function checkReference(archive: string, { images }: Named): void {
  for (const { reference: text, repoTags } of images) {
    const wanted = text === undefined ? undefined : taggedName(parseReference(text))
    if (wanted === undefined || repoTags.some((tag) => isNameOf(wanted, tag))) continue
    const got = repoTags.length > 0 ? repoTags.join() : 'no tag'
    throw new ToolError('MISMATCH', `check the record of "${archive}": got ${got}, want ${text}`, {
      hint: 'its record is of another image: copy both again from where they were made',
    })
  }
}

// podman writes out the registry that its settings choose for a short name.
function isNameOf(wanted: string, tag: string): boolean {
  const [own, other] = [familiarName(wanted), familiarName(tag)]
  if (own === other) return true
  const isShort = !/^[^/]*[.:][^/]*\//.test(own)
  return isShort && other.replace(/^[^/]*[.:][^/]*\/(?:library\/)?/, '') === own
}

// What compress_tars read was never asked for by a name, and may have none.
function isNamed(reference: ImageReference, { images }: Named): boolean {
  const [image] = images
  if (image?.reference !== undefined) return image.reference === reference.text
  const tags = images.flatMap(({ repoTags }) => repoTags)
  const wanted = taggedName(reference)
  return tags.length === 0 || wanted === undefined || tags.some((tag) => isNameOf(wanted, tag))
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
