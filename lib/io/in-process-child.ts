// Work on bytes within this process, with the face of a child: where no program
// does it, whoever waits for a child need not know.
import { PassThrough, Readable, type Writable } from 'node:stream'
import { finished } from 'node:stream/promises'

import type { Task } from './child.ts'
import { interrupted } from '../core/errors.ts'

/**
 * @param transform - from the bytes on stdin to those on stdout; what it throws
 *   is how the child fails
 * @param output - another child's stdin, or a socket, to write to; it is not ended
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
  // Whoever still writes hears that nobody reads any more.
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
  output.on('error', () => {}) // each write tells its own, or its owner's end does
  for await (const chunk of chunks) {
    await new Promise<void>((resolve, reject) => {
      output.write(chunk, (error) => (error ? reject(error) : resolve()))
    })
  }
}
