// A tar into an engine, the end of it only once it is proven: no engine takes a
// tar for whole without its last MiB, where manifest.json is.
import { pipeline } from 'node:stream/promises'

import type { Child } from './child.ts'
import { holdBack } from './hold-back.ts'

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
