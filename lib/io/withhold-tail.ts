// The end of a stream is kept until all of it was found to be right: no engine
// takes a tar for whole without its last MiB, where manifest.json and its end are.
import type { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

import type { Task } from './child.ts'

const HELD_BYTES = 1024 * 1024

/**
 * @param chunks - the bytes
 * @param verify - called when all were seen; what it throws keeps the last MiB back for good
 * @returns the same bytes, the last MiB of them once they are verified
 */
export async function* withholdTail(
  chunks: AsyncIterable<Buffer>,
  verify: () => Promise<void>,
): AsyncGenerator<Buffer> {
  const withheld: Buffer[] = []
  let withheldBytes = 0
  for await (const chunk of chunks) {
    withheld.push(chunk)
    withheldBytes += chunk.length
    for (
      let [oldest] = withheld;
      oldest && withheldBytes - oldest.length >= HELD_BYTES;
      [oldest] = withheld
    ) {
      withheld.shift()
      withheldBytes -= oldest.length
      yield oldest
    }
  }
  await verify()
  yield* withheld
}

/**
 * @param chunks - a tar, or the compressed bytes of one
 * @param engine - takes the tar
 * @param verify - called when all of it was seen; what it throws ends the engine's client before it got the end
 * @param into - gets the bytes, if not the engine: a decoder that writes to it
 */
export async function sendTar(
  chunks: AsyncIterable<Buffer>,
  engine: Task,
  verify: () => Promise<void>,
  into: Writable = engine.stdin,
): Promise<void> {
  let failure: { readonly error: unknown } | undefined
  async function* verified(): AsyncGenerator<Buffer> {
    try {
      yield* withholdTail(chunks, verify)
    } catch (error) {
      failure = { error }
      // Ended before its input is: it must not take the tar so far for all of it.
      engine.kill('SIGKILL')
      await engine.exited.catch(() => {})
      throw error
    }
  }
  await pipeline(verified, into).catch((error: unknown) => {
    // A pipe that broke because the engine was ended is not what there is to tell.
    throw failure ? failure.error : error
  })
}
