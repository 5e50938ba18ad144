// The end of a stream is kept until all of it was found to be right: no engine
// takes a tar for whole without its last MiB, where manifest.json and its end are.
import { pipeline } from 'node:stream/promises'

import type { Child } from './child.ts'

const HELD_BYTES = 1024 * 1024

/**
 * @param chunks - the bytes
 * @param prove - called when all were seen; what it throws keeps the last MiB back for good
 * @returns the same bytes, the last MiB of them once they are proven
 */
export async function* holdBack(
  chunks: AsyncIterable<Buffer>,
  prove: () => Promise<void>,
): AsyncGenerator<Buffer> {
  const held: Buffer[] = []
  let heldBytes = 0
  for await (const chunk of chunks) {
    held.push(chunk)
    heldBytes += chunk.length
    for (let [oldest] = held; oldest && heldBytes - oldest.length >= HELD_BYTES; [oldest] = held) {
      held.shift()
      heldBytes -= oldest.length
      yield oldest
    }
  }
  await prove()
  yield* held
}

/**
 * @param chunks - a tar
 * @param engine - takes it
 * @param prove - called when all of it was seen; what it throws ends the engine's client before it got the end
 */
export async function sendTar(
  chunks: AsyncIterable<Buffer>,
  engine: Child,
  prove: () => Promise<void>,
): Promise<void> {
  let failure: { readonly error: unknown } | undefined
  async function* proven(): AsyncGenerator<Buffer> {
    try {
      yield* holdBack(chunks, prove)
    } catch (error) {
      failure = { error }
      // Ended before its input is: it must not take the tar so far for all of it.
      engine.kill('SIGKILL')
      await engine.exited.catch(() => {})
      throw error
    }
  }
  await pipeline(proven, engine.stdin).catch((error: unknown) => {
    // A pipe that broke because the engine was ended is not what there is to tell.
    throw failure ? failure.error : error
  })
}
