// Settings of the runtime. It compresses in a pool of four threads, however many
// processors there are; the pool's size is read when it is first used, which is with
// the first file.
import { setFlagsFromString } from 'node:v8'

/**
 * Makes room in the pool for so many compressions and for files beside them; to be
 * called before any file is touched. What the user chose stays.
 *
 * @param threads - how many compressions at a time
 */
export function sizeThreadPool(threads: number): void {
  process.env['UV_THREADPOOL_SIZE'] ??= `${Math.min(MAX_POOL_THREADS, threads + FOR_FILES)}`
}

const FOR_FILES = 4
const MAX_POOL_THREADS = 1024 // what the runtime takes at most

/**
 * Keeps the part of the heap for new objects at the size that it has now. Image bytes
 * come in buffers that are garbage a moment later. The runtime lets more and more of
 * them pile up before it looks; where it looks early, the same few pieces of memory go
 * round, and stay in the processor's cache.
 */
export function keepYoungHeapSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1')
}
