// The memory of what is compressed: how many threads may work at a time where each
// takes much, and pages of 2 MiB for programs that look far back.
import { availableParallelism } from 'node:os'

// Several segments are compressed at the same time, and others want memory too.
const SHARE = 1 / 4

/**
 * @param threads - as many as are wanted; without it one for each processor
 * @param eachBytes - what one of them takes
 * @returns as many as there is memory for, at least one
 */
export function fitThreads(threads: number | undefined, eachBytes: number): number {
  const fitting = Math.floor((process.availableMemory() * SHARE) / eachBytes)
  return Math.max(1, Math.min(threads ?? availableParallelism(), fitting))
}

// Compressors look far back: their windows and tables are many MiB, of which each
// page of 4 KiB costs a fault and a place in the processor's tables. Where Linux has
// pages of 2 MiB for those that ask (`madvise`), glibc from 2.35 on asks for them in
// a program that is told so by its environment; elsewhere that does nothing.
const TUNABLE = 'glibc.malloc.hugetlb=1'

/**
 * @param env - where it has this setting, its own holds, being the last
 * @returns the environment for a program that is to have huge pages
 * @see https://sourceware.org/glibc/manual/2.41/html_node/Memory-Allocation-Tunables.html
 * @see https://docs.kernel.org/admin-guide/mm/transhuge.html
 */
export function withHugePages(env: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  const { GLIBC_TUNABLES: own } = env
  return { ...env, GLIBC_TUNABLES: own ? `${TUNABLE}:${own}` : TUNABLE }
}
