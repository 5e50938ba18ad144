// Whether a containerd store has an image laid out, so that it can run. It keeps an
// image, its name and all that inspection tells of it also where laying it out
// failed, as on a full disk.
import { randomUUID } from 'node:crypto'
import { request } from 'node:http'
import { json } from 'node:stream/consumers'
import * as v from 'valibot'

import { answerTo, findSocket } from './daemon.ts'
import type { EngineImage } from './engine-image.ts'
import { answerError, runEngine, type Engine } from './engine.ts'

/**
 * Asks the engine for a container of the image, which lays it out where that was
 * not done, and removes it. Where the daemon itself tells that it is done, nothing
 * is made.
 *
 * @param what - the image, for errors
 * @throws how the engine failed to lay it out, such as NO_SPACE
 */
export async function checkUnpacked(
  engine: Engine,
  image: EngineImage,
  what: string,
): Promise<void> {
  if (engine.name !== 'docker' || engine.idIsConfig) return
  if (await isToldUnpacked(engine, image)) return
  const name = `dgx-offline-images-check-${randomUUID()}`
  const { id, platform } = image
  const choice = platform.includes('/') ? ['--platform', platform] : []
  const options = ['--name', name, '--pull', 'never', '--network', 'none', ...choice]
  try {
    // The command is never run: an image need not have one.
    const answer = await runEngine(engine, ['create', ...options, id, 'none'])
    if (answer.exitCode !== 0) throw answerError(`unpack "${what}"`, answer)
  } finally {
    // The daemon may have made it for a client that was ended.
    await runEngine({ name: engine.name }, ['rm', '--force', '--volumes', name])
  }
}

const Inspected = v.object({
  Manifests: v.array(
    v.object({
      ID: v.string(),
      ImageData: v.nullish(v.object({ Size: v.object({ Unpacked: v.number() }) })),
    }),
  ),
})

// From API 1.48 on, and where the socket is at hand; else nothing is told.
async function isToldUnpacked(engine: Engine, image: EngineImage): Promise<boolean> {
  const socketPath = await findSocket(engine)
  if (socketPath === undefined) return false
  const path = `/images/${encodeURIComponent(image.id)}/json?manifests=1`
  const signal = AbortSignal.any([AbortSignal.timeout(PATIENCE_MS), engine.signal ?? []].flat())
  try {
    const call = request({ socketPath, path, agent: false, signal }).end()
    const { Manifests } = v.parse(Inspected, await json(await answerTo(call)))
    const digest = image.manifestDigest ?? image.id
    return Manifests.some(({ ID, ImageData }) => ID === digest && unpackedBytes(ImageData) > 0)
  } catch {
    return false
  }
}

const PATIENCE_MS = 5000

function unpackedBytes(data?: { readonly Size: { readonly Unpacked: number } } | null): number {
  return data?.Size.Unpacked ?? 0
}
