// The memory of compressors: how many threads fit into it if each takes much, and pages of
// 2 MiB for programs that look far back.
import { availableParallelism } from 'node:os'

// Other segments are compressed at the same time, and other programs need memory too.
const SHARE = 1 / 4

/**
 * @param threads - the number of threads that is wanted; undefined: one for each processor
 * @param eachBytes - the memory that one thread takes
 * @returns the number of threads that there is memory for: at least one, at most `threads`
 */
export function fitThreads(threads: number | undefined, eachBytes: number): number {
  const fitting = Math.floor((process.availableMemory() * SHARE) / eachBytes)
  return Math.max(1, Math.min(threads ?? availableParallelism(), fitting))
}

// Compressors look far back, so their windows and tables take many MiB. Each page of 4 KiB
// costs a page fault and an entry in the tables of the processor. Linux may have pages of
// 2 MiB for programs that ask (`madvise`). With this setting in its environment, glibc
// from 2.35 on asks for them; elsewhere the setting does nothing.
const TUNABLE = 'glibc.malloc.hugetlb=1'

/**
 * @param env - the environment to start from; if it has this setting already, its own
 *   value counts, because the last one does
 * @returns the environment for a program that gets huge pages
 * @see https://sourceware.org/glibc/manual/2.41/html_node/Memory-Allocation-Tunables.html
 * @see https://docs.kernel.org/admin-guide/mm/transhuge.html
 */
export function withHugePages(env: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  const { GLIBC_TUNABLES: own } = env
  return { ...env, GLIBC_TUNABLES: own ? `${TUNABLE}:${own}` : TUNABLE }
}
