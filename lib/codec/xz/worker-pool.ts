// Decodes blocks of .xz in threads, several at a time. Blocks begin in their order, and
// their contents are taken in the same order. The number of open blocks is limited, to
// bound the memory. A thread starts only when there is work for it.
import { Worker } from 'node:worker_threads'

import { memoryError } from '../../core/errors.ts'
import type { Condition } from './condition.ts'
import type { BlockFault } from './error.ts'
import type { FromWorker, ToWorker } from './worker-messages.ts'

/** A block to decode. */
export interface BlockToDecode {
  /** Size of its content, as the index claims. */
  readonly sizeBytes: number
  /** Whether it is too large to hold in memory, as the index claims. */
  readonly isHuge: boolean
  /** @returns the error to throw if it cannot be decoded. */
  readonly toError: (fault: BlockFault) => Error
}

/** A block that is being decoded. */
export interface OpenBlock {
  /** Sends some bytes of the block to its thread; the caller must not use the buffer again. */
  write(bytes: Buffer<ArrayBuffer>, isLast: boolean): Promise<void>
  /** Ends the block with an error: its bytes will not come. */
  fail(error: unknown): void
}

interface Job extends BlockToDecode {
  worker: Thread
  readonly pieces: Buffer[]
  /** Bytes of input on their way to the thread. */
  waitingBytes: number
  isDone: boolean
  /** Why the content ends early. */
  failure?: { readonly reason: unknown }
}

interface Thread {
  readonly worker: Worker
  job: Job | undefined
}

// The most bytes of a huge block on their way to its thread, and back.
const HUGE_INPUT_BYTES = 4 * 1024 ** 2
const HUGE_OUTPUT_BYTES = 8 * 1024 ** 2
// There may be one more open block than threads, so that no thread is idle while the
// oldest block is taken. A block larger than this must not be the extra one.
const LARGE_BYTES = 32 * 1024 ** 2

/** The pool of threads. */
export class XzWorkers {
  readonly #max: number
  readonly #turns: Condition
  readonly #threads: Thread[] = []
  readonly #jobs: Job[] = []

  /**
   * @param max - the most threads; none is started yet
   * @param turns - the condition to signal after each change
   */
  constructor(max: number, turns: Condition) {
    this.#max = max
    this.#turns = turns
  }

  /** Number of blocks that were begun and not yet taken. */
  get open(): number {
    return this.#jobs.length
  }

  /** Begins a block; waits for a free thread, and for room. */
  async begin(block: BlockToDecode): Promise<OpenBlock> {
    const turns = this.#turns
    await turns.until(() => this.#hasRoomFor(block))
    const worker = this.#threads.find(({ job }) => !job) ?? this.#startThread()
    const job: Job = { ...block, worker, pieces: [], waitingBytes: 0, isDone: false }
    worker.job = job
    this.#jobs.push(job)
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
  }

  /** @returns the content of the oldest block, which is then closed; no bytes if there is no block. */
  async *takeOldest(): AsyncGenerator<Buffer> {
    const [job] = this.#jobs
    if (!job) return
    yield* take(job, this.#turns)
    this.#jobs.shift()
    this.#turns.changed()
  }

  /** Ends all threads. */
  async end(): Promise<void> {
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()))
  }

  #hasRoomFor({ sizeBytes }: BlockToDecode): boolean {
    const isIdle = this.#threads.length < this.#max || this.#threads.some(({ job }) => !job)
    return isIdle && this.#jobs.length < this.#max + (sizeBytes <= LARGE_BYTES ? 1 : 0)
  }

  #startThread(): Thread {
    let worker: Worker
    try {
      worker = startXzWorker()
    } catch (error) {
      throw memoryError('start one more thread to decompress', error) ?? error
    }
    const thread: Thread = { worker, job: undefined }
    this.#threads.push(thread)
    watch(thread, this.#turns)
    return thread
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
  // If a thread breaks, all waiters get an error, because its block will never be done.
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

/** The source text of the thread. Only scripts/build defines it. */
declare const BUILD_XZ_WORKER: string

/**
 * An executable has no files beside it, so it holds the source text of the thread.
 *
 * @returns a thread that runs lib/codec/xz/worker.ts
 */
function startXzWorker(): Worker {
  // The thread does not get the options of this process. In an executable it gets no
  // environment, because it would take NODE_OPTIONS from there. Its garbage is large
  // buffers behind small objects: with a small young generation it is collected early.
  const options = { execArgv: [], resourceLimits: { maxYoungGenerationSizeMb: 2 } }
  return typeof BUILD_XZ_WORKER === 'undefined'
    ? new Worker(new URL('./worker.ts', import.meta.url), options)
    : /* c8 ignore next -- only in an executable, which carries no coverage */
      new Worker(BUILD_XZ_WORKER, { eval: true, env: {}, ...options })
}
