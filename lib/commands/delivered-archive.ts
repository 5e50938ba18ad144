// Collects what a delivery states about an archive: the checked metadata and the sha256. It
// also checks that this is the requested image.
import { basename, dirname } from 'node:path'

import { ToolError } from '../core/errors.ts'
import { COPY_AGAIN } from '../core/hints.ts'
import type { Delivery } from '../delivery/delivery.ts'
import { expectEqual } from '../delivery/expect-equal.ts'
import type { ArchiveMetadata } from '../delivery/metadata.ts'
import { metadataName } from '../delivery/name.ts'
import { checkNamed, checkReference } from './archive-names.ts'
import { checkExists, type Target } from './targets.ts'

/** What is known of an archive before it is read. */
export interface DeliveredArchive {
  readonly archiveBytes: number
  /** Its metadata, or undefined if it has none. */
  readonly metadata: ArchiveMetadata | undefined
  /** The error if SHA256SUMS lists metadata and the file is missing. */
  readonly lost: ToolError | undefined
  /** Its sha256 in SHA256SUMS, or undefined if it is not there. */
  readonly listed: string | undefined
  /** A sentence for each file that SHA256SUMS does not list; empty if there is no SHA256SUMS. */
  readonly unlisted: readonly string[]
}

/**
 * @throws NO_ARCHIVE if there is no archive; BAD_FILE, NOT_LISTED, BAD_RECORD; MISMATCH if
 *   manifest, metadata, archive size and requested image do not agree
 */
export async function findDelivered(target: Target, delivery: Delivery): Promise<DeliveredArchive> {
  const { archive } = target
  const archiveBytes = await checkExists(target)
  const listed = await delivery.listedSum(archive)
  const metadata = await delivery.readMetadata(archive)
  const { sums } = (await delivery.manifestOf(dirname(archive))) ?? {}
  const isMetadataListed = sums?.has(basename(metadataName(archive))) ?? false
  const lost = !metadata && isMetadataListed ? missingMetadata(archive) : undefined
  const unlisted: string[] = []
  if (sums && listed === undefined) unlisted.push('SHA256SUMS does not list it')
  if (metadata) {
    // These checks are quick, and find an error before 40 GB are read.
    expectEqual('size of the archive', archiveBytes, metadata.archive.sizeBytes)
    if (listed !== undefined) {
      expectEqual('sha256 in the metadata, by SHA256SUMS', metadata.archive.sha256, listed)
    }
    if (sums && !isMetadataListed) unlisted.push('SHA256SUMS does not list its metadata')
    checkReference(archive, metadata)
    checkNamed(target, metadata)
  }
  return { archiveBytes, metadata, lost, listed, unlisted }
}

function missingMetadata(archive: string): ToolError {
  const name = basename(metadataName(archive))
  return new ToolError('NO_RECORD', `"${name}" is missing: SHA256SUMS lists it`, {
    hint: COPY_AGAIN,
  })
}
