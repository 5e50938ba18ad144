// What can be wrong with an .xz archive that is decompressed within this
// process, told with the place: whoever copies it again wants to know where.
import { ToolError } from '../../core/errors.ts'

/** A place in an archive. */
export interface XzPlace {
  /** Its file name. */
  readonly archive: string
  /** From the start of the file. */
  readonly offsetBytes: number
}

/** Why a block cannot be decoded: what liblzma says, by its own numbers, or what was found beside it. */
export type BlockFault = 'too long' | 'too short' | 'cut off' | number

const DAMAGED = 'it is damaged or was cut off: copy it again from where it was made'

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
  8: 'a newer xz may know it; else it is damaged: copy it again from where it was made',
}

/** @returns BAD_ARCHIVE with the place. */
export function badXz({ archive, offsetBytes }: XzPlace, cause: string, hint = DAMAGED): ToolError {
  return new ToolError('BAD_ARCHIVE', `decompress "${archive}": at byte ${offsetBytes}: ${cause}`, {
    hint,
  })
}

/**
 * @param block - which one of its stream, from 1 on
 * @returns BAD_ARCHIVE with the place where the block begins
 */
export function badBlock(place: XzPlace, block: number, fault: BlockFault): ToolError {
  const cause = FAULTS[fault] ?? `liblzma says ${fault}`
  return badXz(place, `block ${block}: ${cause}`, HINTS[fault])
}
