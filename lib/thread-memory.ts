// How many threads may work at a time where each takes much memory.
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
