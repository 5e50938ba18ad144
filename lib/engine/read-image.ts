// Reads the tar of an image from an engine, for a caller that uses each piece at once. If the
// daemon's socket is on this machine, the tar comes from it directly, which is faster;
// otherwise it comes through the client.
import { pipeline } from 'node:stream/promises'

import { withChildren } from '../io/child.ts'
import { findSocket } from './docker-api/daemon.ts'
import { platformToSave, startSave, type Engine } from './engine.ts'
import { requestSave, type Take } from './docker-api/save.ts'

/**
 * @param image - its name, and its platform as for {@link startSave}
 * @param take - is called with each piece of the tar; an error that it throws ends the save
 * @param signal - ends the save
 * @throws the engine's error. A tar that is cut off is no error here: the caller has to check
 *   its end.
 */
export async function readSaved(
  engine: Engine,
  { name, platform }: { readonly name: string; readonly platform: string },
  take: Take,
  signal: AbortSignal,
): Promise<void> {
  const socketPath = await findSocket({ ...engine, signal })
  if (socketPath !== undefined) {
    const image = { name, platform: platformToSave(engine, platform) }
    const saving = requestSave(socketPath, image, take)
    return withChildren([saving], signal, saving.exited)
  }
  const child = startSave(engine, name, platform)
  const reading = pipeline(child.stdout, async (chunks: AsyncIterable<Buffer>) => {
    for await (const chunk of chunks) take(chunk)
  })
  return withChildren([child], signal, reading)
}
