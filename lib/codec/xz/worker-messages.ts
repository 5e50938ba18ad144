// The messages between the program and the threads that decode .xz. They have a file of
// their own, because each side loads it without the other side.
import type { BlockFault } from './error.ts'

/** The most bytes of input in one message. */
export const INPUT_BYTES = 256 * 1024

/** A message to the thread. */
export type ToWorker =
  /** A block begins: the size of its content, and how many bytes of output may be on their way. */
  | { readonly kind: 'begin'; readonly sizeBytes: number; readonly windowBytes: number }
  | { readonly kind: 'input'; readonly bytes: Uint8Array; readonly isLast: boolean }
  /** The program has taken this many bytes of output. */
  | { readonly kind: 'drained'; readonly bytes: number }

/** A message from the thread. */
export type FromWorker =
  | { readonly kind: 'output'; readonly bytes: Uint8Array }
  /** The thread has given this many bytes of input to liblzma. */
  | { readonly kind: 'taken'; readonly bytes: number }
  | { readonly kind: 'done'; readonly fault?: BlockFault }
