// The thread that decodes .xz, started. An executable has no file beside it, so
// there the text of the thread is in the program; see scripts/build/bundle.ts.
import { Worker } from 'node:worker_threads'

/** The thread's text, defined by scripts/build, and not there in the sources. */
declare const BUILD_XZ_WORKER: string

/** @returns a thread that runs lib/xz-worker.ts. */
export function startXzWorker(): Worker {
  // What this process was started with is not for the thread; nor, in an executable,
  // is NODE_OPTIONS, which it would take from its environment. Its garbage is large
  // buffers with small heads, which it would collect late.
  const options = { execArgv: [], resourceLimits: { maxYoungGenerationSizeMb: 2 } }
  return typeof BUILD_XZ_WORKER === 'undefined'
    ? new Worker(new URL('./xz-worker.ts', import.meta.url), options)
    : /* c8 ignore next -- only in an executable, which carries no coverage */
      new Worker(BUILD_XZ_WORKER, { eval: true, env: {}, ...options })
}
