// What was read of an archive against what its record and SHA256SUMS say.
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { pipeline } from 'node:stream/promises'

import { recordName } from './archive-name.ts'
import type { ReadArchive } from './archive-reader.ts'
import type { ArchiveRecord } from './archive-record.ts'
import type { ArchivedImage } from './docker-archive.ts'
import type { Checksums } from './checksum-file.ts'
import { ToolError, interrupted, nothing } from './errors.ts'

/** @throws MISMATCH where it is not what its record says */
export function checkAgainstRecord(read: ReadArchive, record: ArchiveRecord): void {
  const { archive, tar, images } = record
  same('sha256 of the archive', read.archive.sha256, archive.sha256)
  same('size of the archive', read.archive.sizeBytes, archive.sizeBytes)
  same('size of the tar', read.tar.sizeBytes, tar.sizeBytes)
  if (read.tar.contentMd5 !== undefined && tar.contentMd5 !== undefined) {
    same('content md5', read.tar.contentMd5, tar.contentMd5)
  }
  same('images', digests(read.images), digests(images))
}

function digests(images: readonly ArchivedImage[]): string {
  return images
    .map((image) => [image.configDigest, ...image.layers.map((layer) => layer.diffId)])
    .join()
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
  const record = recordName(archive)
  const wantRecord = sums.get(basename(record))
  if (wantRecord !== undefined) {
    const text = await readFile(record).catch(nothing)
    if (text === undefined) return ['its record is gone, though SHA256SUMS lists it']
    const got = createHash('sha256').update(text).digest('hex')
    same('sha256 of the record, by SHA256SUMS', got, wantRecord)
  }
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
  const hash = createHash('sha256')
  await pipeline(createReadStream(archive), hash, { signal }).catch((error: unknown) => {
    throw signal.aborted ? interrupted() : error
  })
  const sha256 = hash.digest('hex')
  if (record) same('sha256 of the archive', sha256, record.archive.sha256)
  await checkAgainstSums(archive, { archive: { sizeBytes: 0, sha256 } }, sums)
}

/** @throws MISMATCH where they differ */
export function same(what: string, got: string | number, want: string | number): void {
  if (got === want) return
  throw new ToolError('MISMATCH', `check ${what}: got ${got}, want ${want}`, {
    hint: 'it was changed or damaged: copy the archive and its record again from where they were made',
  })
}
