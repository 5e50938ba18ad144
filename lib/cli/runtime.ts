// Settings of Node. Node compresses and reads files in a pool of four threads, however many
// processors there are. It reads the size of the pool at its first use, the first file.
import { setFlagsFromString } from 'node:v8'

/**
 * Makes the thread pool large enough for this many compressions, and for files beside them.
 * It must be called before the first use of a file. A size that the user has set stays.
 *
 * @param threads - the number of compressions at a time
 */
export function sizeThreadPool(threads: number): void {
  process.env['UV_THREADPOOL_SIZE'] ??= `${Math.min(MAX_POOL_THREADS, threads + FOR_FILES)}`
}

const FOR_FILES = 4
const MAX_POOL_THREADS = 1024 // the most that libuv takes

/**
 * Keeps the heap for new objects at its present size. Image bytes come in buffers that are
 * garbage a moment later. As this heap grows, V8 lets more and more of them pile up before
 * it collects. If it stays small, the same few pieces of memory are used again, and stay in
 * the cache of the processor.
 */
export function keepYoungHeapSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1')
}
