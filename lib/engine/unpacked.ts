// Whether a containerd store has an image laid out, so that it can run. It keeps an
// image, its name and all that inspection tells of it also where laying it out
// failed, as on a full disk.
import { randomUUID } from 'node:crypto'
import { request } from 'node:http'
import { json } from 'node:stream/consumers'
import * as v from 'valibot'

import { answerTo, findSocket } from './docker-api/daemon.ts'
import type { EngineImage } from './inspect.ts'
import { answerError, runEngine, type Engine } from './engine.ts'
import { interrupted, type ToolError } from '../core/errors.ts'

/**
 * Where the daemon itself does not tell that an image is laid out, asks the engine for
 * a container of it, which lays it out if that was not done, and removes that again.
 *
 * @param what - the image, for errors
 * @returns what could not be found out, a sentence
 * @throws how the engine failed to lay it out, such as NO_SPACE
 */
export async function checkUnpacked(
  engine: Engine,
  image: EngineImage,
  what: string,
): Promise<string[]> {
  if (!isLaidOutHere(engine, image) || (await isToldUnpacked(engine, image))) return []
  const failure = await tryToCreate(engine, image, what)
  if (failure?.isOfUnpacking) throw failure.error
  return failure ? [`whether it can run was not found out: ${failure.error.message}`] : []
}

/**
 * @param dryRun - whether nothing is to be made: then only the daemon's word counts
 * @returns false where an image cannot run, see {@link checkUnpacked}
 */
export async function isUnpacked(
  engine: Engine,
  image: EngineImage,
  what: string,
  dryRun: boolean,
): Promise<boolean> {
  if (!isLaidOutHere(engine, image)) return true
  const isTold = await isToldUnpacked(engine, image)
  if (isTold !== undefined && (isTold || dryRun)) return isTold
  const failure = dryRun ? undefined : await tryToCreate(engine, image, what)
  return !failure?.isOfUnpacking
}

// A store lays out what its machine can run; other images wait for who wants them.
function isLaidOutHere({ store, platform }: Engine, image: EngineImage): boolean {
  const isOwn = platform === undefined || `${image.platform}/`.startsWith(`${platform}/`)
  return store.laysOutApart && isOwn && image.diffIds.length > 0
}

async function tryToCreate(
  { name: command, signal }: Engine,
  { id, platform }: EngineImage,
  what: string,
): Promise<{ readonly error: ToolError; readonly isOfUnpacking: boolean } | undefined> {
  const name = `dgx-offline-images-check-${randomUUID()}`
  const options = ['--name', name, '--pull', 'never', '--network', 'none', '--platform', platform]
  // Not ended by the signal: the daemon would go on, and make a container that nobody
  // knows of. Its command is never run: an image need not have one.
  const answer = await runEngine({ name: command }, ['create', ...options, id, 'none'])
  await runEngine({ name: command }, ['rm', '--force', '--volumes', name])
  if (signal?.aborted) throw interrupted()
  if (answer.exitCode === 0) return undefined
  const error = answerError(`lay out "${what}"`, answer)
  return { error, isOfUnpacking: error.code === 'NO_SPACE' || UNPACKING.test(answer.stderr) }
}

// An engine may forbid containers, too.
const UNPACKING = /unpack|extract|apply layer|snapshot|diff ?id|content digest/i

const Inspected = v.object({
  Manifests: v.array(
    v.object({
      ID: v.string(),
      ImageData: v.nullish(v.object({ Size: v.object({ Unpacked: v.number() }) })),
    }),
  ),
})

// From API 1.48 on, and where the socket is at hand; else undefined.
async function isToldUnpacked(engine: Engine, image: EngineImage): Promise<boolean | undefined> {
  const { id, manifestDigest } = image
  const socketPath = manifestDigest === undefined ? undefined : await findSocket(engine)
  if (socketPath === undefined) return undefined
  const path = `/images/${encodeURIComponent(id)}/json?manifests=1`
  const signals = [AbortSignal.timeout(KILL_TIMEOUT_MS), ...(engine.signal ? [engine.signal] : [])]
  try {
    const call = request({ socketPath, path, agent: false, signal: AbortSignal.any(signals) })
    const { Manifests } = v.parse(Inspected, await json(await answerTo(call.end())))
    const own = Manifests.find(({ ID }) => ID === manifestDigest)
    return own?.ImageData ? own.ImageData.Size.Unpacked > 0 : undefined
  } catch {
    return undefined
  }
}

const KILL_TIMEOUT_MS = 5000
