// An image's tar out of an engine, for whoever is done with each piece at once:
// from the daemon's own socket where that is on this machine, else by the client.
import { pipeline } from 'node:stream/promises'

import { withChildren } from '../io/child.ts'
import { findSocket } from './docker-api/daemon.ts'
import { platformToSave, startSave, type Engine } from './engine.ts'
import { requestSave, type Take } from './docker-api/save.ts'

/**
 * @param name - of the image
 * @param platform - the image's own, as for {@link startSave}
 * @param take - gets the tar; what it throws ends the save
 * @param signal - ends it, too
 * @throws what the engine failed with; that the tar is whole, its end has to tell
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
