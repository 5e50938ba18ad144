// Image bytes come in buffers that are garbage a moment later. The runtime lets
// more and more of them pile up before it looks; where it looks early, the same
// few pieces of memory go round, and stay in the processor's cache.
import { setFlagsFromString } from 'node:v8'

/** Keeps the part of the heap for new objects at the size that it has now. */
export function keepYoungHeapSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1')
}
