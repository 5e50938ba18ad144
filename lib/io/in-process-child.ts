// Runs a transform of bytes in this process, as a task. A caller that starts a program
// for this work can use a task in the same way if there is no such program.
import { PassThrough, Readable, type Writable } from 'node:stream'
import { finished } from 'node:stream/promises'

import { interrupted } from '../core/errors.ts'
import type { Task } from './task.ts'

/**
 * @param transform - turns the bytes of stdin into those of stdout; the task fails with
 *   the error that it throws
 * @param output - the stdin of another child, or a socket, to write to instead of stdout;
 *   this task does not end it
 * @returns the task
 */
export function startTransform(
  transform: (chunks: AsyncIterable<Buffer>) => AsyncIterable<Buffer>,
  output?: Writable,
): Task {
  const stdin = new PassThrough()
  const result = Readable.from(transform(stdin), { objectMode: false })
  const stdout = output ? Readable.from([]) : result
  let wasKilled = false
  const done = output ? writeAll(result, output) : finished(result)
  const exited = settle(done, () => wasKilled)
  exited.catch(() => {})
  // A writer to stdin then gets an error: nobody reads it any more.
  result.once('close', () => stdin.destroy())
  return {
    stdin,
    stdout,
    exited,
    kill() {
      if (result.closed || result.readableEnded || result.errored) return
      wasKilled = true
      stdin.destroy()
      result.destroy()
    },
  }
}

async function settle(done: Promise<void>, wasKilled: () => boolean): Promise<void> {
  try {
    await done
  } catch (error) {
    if (!wasKilled()) throw error
  }
  if (wasKilled()) throw interrupted()
}

async function writeAll(chunks: AsyncIterable<Buffer>, output: Writable): Promise<void> {
  output.on('error', () => {}) // the write below, or the owner of the output, reports it
  for await (const chunk of chunks) {
    await new Promise<void>((resolve, reject) => {
      output.write(chunk, (error) => (error ? reject(error) : resolve()))
    })
  }
}
