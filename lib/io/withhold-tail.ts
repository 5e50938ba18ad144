// Withholds the end of a stream until everything is verified. The last MiB of a tar has
// `manifest.json` and the end of the tar, and no engine accepts a tar without them.
import type { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

import type { Task } from './task.ts'

const HELD_BYTES = 1024 * 1024

/**
 * @param chunks - the bytes
 * @param verify - is called after the last chunk; if it throws, the last MiB is never emitted
 * @returns the same bytes; the last MiB follows after they are verified
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
 * @param chunks - the bytes of a tar, or the compressed bytes of one
 * @param engine - receives the tar
 * @param verify - is called after the last chunk; if it throws, the engine is ended before it
 *   gets the end
 * @param into - receives the bytes, by default the engine's stdin; a decoder that writes to the
 *   engine
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
      // The engine is killed before its input ends, so that it cannot take the tar so far for
      // all of it.
      engine.kill('SIGKILL')
      await engine.exited.catch(() => {})
      throw error
    }
  }
  await pipeline(verified, into).catch((error: unknown) => {
    // If the engine was killed here, the reason for that is thrown, not the broken pipe that
    // follows.
    throw failure ? failure.error : error
  })
}
