// The errors of the bundled .xz decoder. Each names the place in the archive, because a
// user who copies the archive again wants to know where it is damaged.
import { ToolError } from '../../core/errors.ts'
import { COPY_AGAIN, COPY_ARCHIVE } from '../../core/hints.ts'

/** A place in an archive. */
export interface XzPlace {
  /** Its file name. */
  readonly archive: string
  /** Offset from the start of the file. */
  readonly offsetBytes: number
}

/** Why a block cannot be decoded: an error number of liblzma, or a check of this decoder. */
export type BlockFault = 'too long' | 'too short' | 'cut off' | number

const FAULTS: Readonly<Partial<Record<BlockFault, string>>> = {
  'too long': 'it holds more bytes than the index says',
  'too short': 'it ends before the place that the index says',
  'cut off': 'it goes on after the place that the index says',
  5: 'there is not enough memory for its dictionary',
  6: 'its dictionary is larger than 192 MiB, and that is not supported here',
  8: 'it has an unknown filter or unknown options',
  9: 'its data are corrupt: they do not fit its check sum, its header or the index',
}

const HINTS: Readonly<Partial<Record<BlockFault, string>>> = {
  5: 'give it fewer --threads, or install xz or pixz',
  6: 'install xz or pixz, which take it',
  8: `a newer xz may know it; else it is damaged: ${COPY_AGAIN}`,
}

/** @returns the error BAD_ARCHIVE with the place. */
export function badXz(
  { archive, offsetBytes }: XzPlace,
  cause: string,
  hint = COPY_ARCHIVE,
): ToolError {
  return new ToolError('BAD_ARCHIVE', `decompress "${archive}": at byte ${offsetBytes}: ${cause}`, {
    hint,
  })
}

/**
 * @param place - the place where the block begins
 * @param block - the number of the block in its stream, from 1 on
 * @param fault - the reason
 * @returns the error BAD_ARCHIVE with the place
 */
export function badBlock(place: XzPlace, block: number, fault: BlockFault): ToolError {
  const cause = FAULTS[fault] ?? `liblzma says ${fault}`
  return badXz(place, `block ${block}: ${cause}`, HINTS[fault])
}
