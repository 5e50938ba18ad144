// Blocks of .xz in threads, side by side: handed out in their order, taken back
// in their order, and only so many between the two. Threads start when there is
// work for them.
import { Worker } from 'node:worker_threads'

import { memoryError } from '../../core/errors.ts'
import type { Condition } from './condition.ts'
import type { BlockFault } from './error.ts'
import type { FromWorker, ToWorker } from './worker-messages.ts'

/** A block to be decoded. */
export interface BlockToDecode {
  /** What it claims to hold. */
  readonly sizeBytes: number
  /** Whether it is too large to be held in memory, by what it claims. */
  readonly isHuge: boolean
  /** @returns the error where it cannot be decoded. */
  readonly toError: (fault: BlockFault) => Error
}

/** A block that is being decoded. */
export interface OpenBlock {
  /** Hands over some of its bytes, which belong to it from then on. */
  write(bytes: Buffer<ArrayBuffer>, isLast: boolean): Promise<void>
  /** There is no more to hand over, for that reason. */
  fail(error: unknown): void
}

/** Threads at work. */
export interface XzWorkers {
  /** Waits for a thread, and room. */
  begin(block: BlockToDecode): Promise<OpenBlock>
  /** @returns what the oldest block holds, and lets go of it; ends at once where there is none. */
  takeOldest(): AsyncGenerator<Buffer>
  /** How many blocks were begun and not taken. */
  readonly open: number
  /** Ends all threads. */
  end(): Promise<void>
}

interface Job extends BlockToDecode {
  worker: Thread
  readonly pieces: Buffer[]
  /** Input on its way. */
  waitingBytes: number
  isDone: boolean
  /** Why there is no more. */
  failure?: { readonly reason: unknown }
}

interface Thread {
  readonly worker: Worker
  job: Job | undefined
}

// Of a block that is too large, so much is on its way in and out.
const HUGE_INPUT_BYTES = 4 * 1024 ** 2
const HUGE_OUTPUT_BYTES = 8 * 1024 ** 2
// One block more than threads may be there, so that none is idle while the
// oldest is taken; unless it is large.
const LARGE_BYTES = 32 * 1024 ** 2

/**
 * @param max - how many threads
 * @param turns - hears of what changes
 */
export function createXzWorkers(max: number, turns: Condition): XzWorkers {
  const threads: Thread[] = []
  const jobs: Job[] = []

  function isRoomFor({ sizeBytes }: BlockToDecode): boolean {
    const isIdle = threads.length < max || threads.some(({ job }) => !job)
    return isIdle && jobs.length < max + (sizeBytes <= LARGE_BYTES ? 1 : 0)
  }
  function startThread(): Thread {
    let worker: Worker
    try {
      worker = startXzWorker()
    } catch (error) {
      throw memoryError('start one more thread to decompress', error) ?? error
    }
    const thread: Thread = { worker, job: undefined }
    threads.push(thread)
    watch(thread, turns)
    return thread
  }
  return {
    get open() {
      return jobs.length
    },
    async begin(block) {
      await turns.until(() => isRoomFor(block))
      const worker = threads.find(({ job }) => !job) ?? startThread()
      const job: Job = { ...block, worker, pieces: [], waitingBytes: 0, isDone: false }
      worker.job = job
      jobs.push(job)
      const windowBytes = block.isHuge ? HUGE_OUTPUT_BYTES : Infinity
      send(worker, { kind: 'begin', sizeBytes: block.sizeBytes, windowBytes })
      turns.changed()
      return {
        write: (bytes, isLast) => write(job, bytes, isLast, turns),
        fail(reason) {
          job.failure ??= { reason }
          job.isDone = true
          turns.changed()
        },
      }
    },
    async *takeOldest() {
      const [job] = jobs
      if (!job) return
      yield* take(job, turns)
      jobs.shift()
      turns.changed()
    },
    async end() {
      await Promise.all(threads.map(({ worker }) => worker.terminate()))
    },
  }
}

async function write(
  job: Job,
  bytes: Buffer<ArrayBuffer>,
  isLast: boolean,
  turns: Condition,
): Promise<void> {
  if (job.isHuge) await turns.until(() => job.isDone || job.waitingBytes < HUGE_INPUT_BYTES)
  if (job.isDone) return
  job.waitingBytes += bytes.length
  send(job.worker, { kind: 'input', bytes, isLast }, [bytes.buffer])
}

async function* take(job: Job, turns: Condition): AsyncGenerator<Buffer> {
  for (;;) {
    await turns.until(() => job.pieces.length > 0 || job.isDone)
    const piece = job.pieces.shift()
    if (!piece) break
    const { length } = piece
    yield piece
    if (job.isHuge && !job.isDone) send(job.worker, { kind: 'drained', bytes: length })
  }
  if (job.failure) throw job.failure.reason
}

function watch(thread: Thread, turns: Condition): void {
  const { worker } = thread
  worker.on('message', (message: FromWorker) => {
    if (thread.job) hear(thread.job, message)
    if (message.kind === 'done') thread.job = undefined
    turns.changed()
  })
  // One that broke takes all with it: its block never comes.
  let cause: unknown
  worker.once('error', (error) => (cause = error))
  worker.once('exit', (status) => {
    turns.end(
      memoryError('decompress', cause) ??
        new Error(`decompress: a thread ended with ${status}`, { cause }),
    )
  })
}

function hear(job: Job, message: FromWorker): void {
  if (message.kind === 'output') job.pieces.push(Buffer.from(message.bytes.buffer))
  else if (message.kind === 'taken') job.waitingBytes -= message.bytes
  else {
    job.isDone = true
    if (message.fault !== undefined) job.failure ??= { reason: job.toError(message.fault) }
  }
}

function send({ worker }: Thread, message: ToWorker, transfer: ArrayBuffer[] = []): void {
  worker.postMessage(message, transfer)
}

/** The thread's text, defined by scripts/build, and not there in the sources. */
declare const BUILD_XZ_WORKER: string

/**
 * An executable has no file beside it, so there the text of the thread is in the program.
 *
 * @returns a thread that runs lib/codec/xz/worker.ts
 */
function startXzWorker(): Worker {
  // What this process was started with is not for the thread; nor, in an executable,
  // is NODE_OPTIONS, which it would take from its environment. Its garbage is large
  // buffers with small heads, which it would collect late.
  const options = { execArgv: [], resourceLimits: { maxYoungGenerationSizeMb: 2 } }
  return typeof BUILD_XZ_WORKER === 'undefined'
    ? new Worker(new URL('./worker.ts', import.meta.url), options)
    : /* c8 ignore next -- only in an executable, which carries no coverage */
      new Worker(BUILD_XZ_WORKER, { eval: true, env: {}, ...options })
}
