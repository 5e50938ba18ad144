// Checks whether a containerd store has unpacked an image, so that it can run. If unpacking
// fails, for example on a full disk, the store still keeps the image and its name, and `image
// inspect` shows it as usual.
import { randomUUID } from 'node:crypto'
import { request } from 'node:http'
import { json } from 'node:stream/consumers'
import * as v from 'valibot'

import { interrupted, type ToolError } from '../core/errors.ts'
import type { StoredImage } from '../image/source.ts'
import { answerTo, findSocket } from './docker-api/daemon.ts'
import { answerError, runEngine, type Engine } from './engine.ts'

/**
 * Checks that an image is unpacked. If the daemon does not say so, it creates a container of
 * the image and removes it again: that unpacks the image if needed.
 *
 * @param what - the image, for errors
 * @returns a sentence about what could not be found out, if any
 * @throws the engine's error if it cannot unpack the image, such as NO_SPACE
 */
export async function checkUnpacked(
  engine: Engine,
  image: StoredImage,
  what: string,
): Promise<string[]> {
  if (!isUnpackedHere(engine, image) || (await saysUnpacked(engine, image))) return []
  const failure = await tryToCreate(engine, image, what)
  if (failure?.isOfUnpacking) throw failure.error
  return failure ? [`whether it can run was not found out: ${failure.error.message}`] : []
}

/**
 * @param dryRun - whether nothing may be created: then only the daemon's answer counts
 * @returns false if the image cannot run, or, in a dry run, if the daemon says that it is not
 *   unpacked; true if nothing shows that. See {@link checkUnpacked}.
 */
export async function isUnpacked(
  engine: Engine,
  image: StoredImage,
  what: string,
  dryRun: boolean,
): Promise<boolean> {
  if (!isUnpackedHere(engine, image)) return true
  const answer = await saysUnpacked(engine, image)
  if (answer !== undefined && (answer || dryRun)) return answer
  const failure = dryRun ? undefined : await tryToCreate(engine, image, what)
  return !failure?.isOfUnpacking
}

// A store unpacks images for its own platform. An image for another platform is unpacked only
// when somebody uses it.
function isUnpackedHere({ store, platform }: Engine, image: StoredImage): boolean {
  const isOwn = platform === undefined || `${image.platform}/`.startsWith(`${platform}/`)
  return store.unpacksApart && isOwn && image.diffIds.length > 0
}

async function tryToCreate(
  { name: command, signal }: Engine,
  { id, platform }: StoredImage,
  what: string,
): Promise<{ readonly error: ToolError; readonly isOfUnpacking: boolean } | undefined> {
  const name = `dgx-offline-images-check-${randomUUID()}`
  const options = ['--name', name, '--pull', 'never', '--network', 'none', '--platform', platform]
  // The signal does not end this command: the daemon would go on, and leave a container that
  // nobody knows of. The container is never started, so its command need not exist.
  const answer = await runEngine({ name: command }, ['create', ...options, id, 'none'])
  await runEngine({ name: command }, ['rm', '--force', '--volumes', name])
  if (signal?.aborted) throw interrupted()
  if (answer.exitCode === 0) return undefined
  const error = answerError(`lay out "${what}"`, answer)
  return { error, isOfUnpacking: error.code === 'NO_SPACE' || UNPACKING.test(answer.stderr) }
}

// Only these errors are about unpacking; an engine may also refuse to create any container.
const UNPACKING = /unpack|extract|apply layer|snapshot|diff ?id|content digest/i

const Inspected = v.object({
  Manifests: v.array(
    v.object({
      ID: v.string(),
      ImageData: v.nullish(v.object({ Size: v.object({ Unpacked: v.number() }) })),
    }),
  ),
})

// The daemon's answer, or undefined if it has none. It needs API 1.48, and its socket on this
// machine.
async function saysUnpacked(engine: Engine, image: StoredImage): Promise<boolean | undefined> {
  const { id, manifestDigest } = image
  const socketPath = manifestDigest === undefined ? undefined : await findSocket(engine)
  if (socketPath === undefined) return undefined
  const path = `/images/${encodeURIComponent(id)}/json?manifests=1`
  const signals = [
    AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    ...(engine.signal ? [engine.signal] : []),
  ]
  try {
    const call = request({ socketPath, path, agent: false, signal: AbortSignal.any(signals) })
    const { Manifests } = v.parse(Inspected, await json(await answerTo(call.end())))
    const own = Manifests.find(({ ID }) => ID === manifestDigest)
    return own?.ImageData ? own.ImageData.Size.Unpacked > 0 : undefined
  } catch {
    return undefined
  }
}

const ANSWER_TIMEOUT_MS = 5000
