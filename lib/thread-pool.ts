// The runtime compresses in a pool of four threads, however many processors there
// are. Its size is read when the pool is first used, which is with the first file.

/**
 * Makes room in the pool for so many compressions and for files beside them; to be
 * called before any file is touched. What the user chose stays.
 *
 * @param threads - how many compressions at a time
 */
export function sizeThreadPool(threads: number): void {
  process.env['UV_THREADPOOL_SIZE'] ??= `${Math.min(MOST, threads + FOR_FILES)}`
}

const FOR_FILES = 4
const MOST = 1024 // what the runtime takes at most
