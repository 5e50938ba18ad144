// What goes between the program and the threads that decode .xz. It stands alone,
// as either side loads it without the other.
import type { BlockFault } from './error.ts'

/** At most so much input goes in one message. */
export const INPUT_BYTES = 256 * 1024

/** A message to the thread. */
export type ToWorker =
  /** A block begins: what it holds, and how much of that may be on its way. */
  | { readonly kind: 'begin'; readonly sizeBytes: number; readonly windowBytes: number }
  | { readonly kind: 'input'; readonly bytes: Uint8Array; readonly isLast: boolean }
  /** So much of the output has been taken on. */
  | { readonly kind: 'drained'; readonly bytes: number }

/** What the thread tells. */
export type FromWorker =
  | { readonly kind: 'output'; readonly bytes: Uint8Array }
  /** So much of the input has been decoded. */
  | { readonly kind: 'taken'; readonly bytes: number }
  | { readonly kind: 'done'; readonly fault?: BlockFault }
