// What was read of an archive against what its record and SHA256SUMS say.
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'

import { isIncrementName, recordName } from './archive-name.ts'
import type { ReadArchive } from './archive-reader.ts'
import type { ArchiveRecord } from './archive-record.ts'
import type { ArchivedImage } from './docker-archive.ts'
import type { Checksums } from './checksum-file.ts'
import { ToolError, nothing } from './errors.ts'
import { hashFile } from './file-range.ts'
import { familiarName, taggedName, type ImageReference } from './image-reference.ts'
import type { Target } from './targets.ts'

/** @throws MISMATCH where it is not what its record says */
export function checkAgainstRecord(read: ReadArchive, record: ArchiveRecord): void {
  const { archive, tar } = record
  same('sha256 of the archive', read.archive.sha256, archive.sha256)
  same('size of the archive', read.archive.sizeBytes, archive.sizeBytes)
  same('size of the tar', read.tar.sizeBytes, tar.sizeBytes)
  if (read.tar.contentMd5 !== undefined && tar.contentMd5 !== undefined) {
    same('content md5', read.tar.contentMd5, tar.contentMd5)
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
    same(`sha256 of segment ${index}`, read.segments[index] ?? 'none', sha256)
    if (layerDigest === undefined) continue
    same(`layer in segment ${index}`, `sha256:${members.get(tarOffsetBytes)}`, layerDigest)
  }
}

/** @throws MISMATCH where the images in a tar are not those of its record */
export function checkImages(
  images: readonly ArchivedImage[],
  record: Pick<ArchiveRecord, 'images'>,
): void {
  same('images', describe(images), describe(record.images))
}

function describe(images: readonly ArchivedImage[]): string {
  return images
    .map(({ repoTags, platform, configDigest, layers }) => {
      return [...repoTags, platform, configDigest, ...layers.map((layer) => layer.diffId)]
    })
    .join()
}

/** @throws MISMATCH where an archive holds other images than the one that was named */
export function checkNamed({ archive, reference }: Target, record: ArchiveRecord): void {
  if (!reference || isNamed(reference, record)) return
  const got = record.images.flatMap(({ reference: saved, repoTags }) => saved ?? repoTags)
  throw new ToolError('MISMATCH', `read "${archive}": got ${got.join()}, want ${reference.text}`, {
    hint: 'it has the archive name of both: name the image that is in it, or the archive itself',
  })
}

// What compress_tars read was never asked for by a name, and may have none.
function isNamed(reference: ImageReference, { images }: ArchiveRecord): boolean {
  const [image] = images
  if (image?.reference !== undefined) return image.reference === reference.text
  const tags = images.flatMap(({ repoTags }) => repoTags).map(familiarName)
  const wanted = taggedName(reference)
  return tags.length === 0 || wanted === undefined || tags.includes(familiarName(wanted))
}

/**
 * @returns what could not be checked, a sentence each
 * @throws MISMATCH for the archive or its record
 */
export async function checkAgainstSums(
  archive: string,
  read: Pick<ReadArchive, 'archive'>,
  sums: Checksums,
): Promise<string[]> {
  const want = sums.get(basename(archive))
  if (want === undefined) return ['SHA256SUMS does not list it']
  same('sha256 of the archive, by SHA256SUMS', read.archive.sha256, want)
  return checkRecordSum(archive, sums)
}

/**
 * @returns what could not be checked, a sentence each
 * @throws NO_RECORD where it is gone, MISMATCH where the record is not the one that SHA256SUMS lists
 */
export async function checkRecordSum(archive: string, sums: Checksums): Promise<string[]> {
  const record = recordName(archive)
  const want = sums.get(basename(record))
  if (want === undefined) return []
  const text = await readFile(record).catch(nothing)
  if (text === undefined) {
    const why = 'it is not there, though SHA256SUMS lists it'
    throw new ToolError('NO_RECORD', `check "${basename(record)}": ${why}`, {
      hint: 'copy it again from where it was made',
    })
  }
  same('sha256 of the record, by SHA256SUMS', createHash('sha256').update(text).digest('hex'), want)
  return []
}

/**
 * Checks the sha256 of an archive, and nothing else.
 *
 * @throws MISMATCH, NO_RECORD where neither record nor SHA256SUMS tell it
 */
export async function quickCheck(
  archive: string,
  record: ArchiveRecord | undefined,
  sums: Checksums,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  if (!record && !sums.has(basename(archive))) {
    throw new ToolError(
      'NO_RECORD',
      `check "${archive}": neither a record nor SHA256SUMS names it`,
      {
        hint: 'leave out --quick to check what the archive itself can prove',
      },
    )
  }
  const sha256 = await hashFile(archive, signal)
  if (record) same('sha256 of the archive', sha256, record.archive.sha256)
  await checkAgainstSums(archive, { archive: { sizeBytes: 0, sha256 } }, sums)
}

/** @throws NO_RECORD for an increment, which means nothing without one */
export function checkNotIncrement(action: string, archive: string): void {
  if (!isIncrementName(archive)) return
  throw new ToolError('NO_RECORD', `${action} "${archive}": there is no record beside it`, {
    hint: 'an increment needs its record to say what it lacks: copy its .json as well',
  })
}

/** @throws MISMATCH where they differ */
export function same(what: string, got: string | number, want: string | number): void {
  if (got === want) return
  throw new ToolError('MISMATCH', `check ${what}: got ${got}, want ${want}`, {
    hint: 'it was changed or damaged: copy the archive and its record again from where they were made',
  })
}
