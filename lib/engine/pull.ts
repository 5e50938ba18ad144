// Pulls an image with `docker pull`. It tries again after network errors, and checks that the
// image has the requested platform.
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'

import { endOf, withoutCredentials } from '../core/credentials.ts'
import { ToolError, interrupted } from '../core/errors.ts'
import type { VerbContext } from '../core/outcome.ts'
import { pullName, taggedName, type ImageReference } from '../image/reference.ts'
import type { FetchOptions, StoredImage } from '../image/source.ts'
import { startChild, withChildren } from '../io/child.ts'
import { inspectImage, tagImage, type Engine } from './engine.ts'
import { engineError } from './error.ts'

/** The waits before the second, third and fourth try, in ms. */
const WAITS_MS = [2000, 4000, 8000]

/**
 * @returns the pulled image
 * @throws NO_IMAGE, NOT_LOGGED_IN or WRONG_PLATFORM at once; REGISTRY_UNREACHABLE after the
 *   last try
 */
export async function pullImage(
  engine: Engine,
  reference: ImageReference,
  options: FetchOptions,
): Promise<StoredImage> {
  for (const waitMs of [...WAITS_MS, undefined]) {
    try {
      await pullOnce(engine, reference, options)
      break
    } catch (error) {
      if (waitMs === undefined || !isNetworkFault(error)) throw error
      options.notify({
        type: 'warning',
        text: `${error.message}; trying again in ${waitMs / 1000} s`,
      })
      await delay(waitMs, undefined, { signal: options.signal }).catch(() => {
        throw interrupted()
      })
    }
  }
  return findImage(engine, reference, options.platform)
}

/**
 * @param platform - the wanted one; by default the engine's own
 * @param known - the image, if the engine has already been asked for it
 * @returns the image that the engine has under this reference
 * @throws NO_IMAGE if there is none; WRONG_PLATFORM if it has another platform
 */
export async function findImage(
  engine: Engine,
  reference: ImageReference,
  platform: string | undefined,
  known?: StoredImage,
): Promise<StoredImage> {
  const image = known ?? (await inspectImage(engine, pullName(reference), platform))
  if (!image) {
    throw new ToolError('NO_IMAGE', `find "${reference.text}": the engine has no such image`, {
      hint: 'pull it, or leave out --no-pull',
    })
  }
  checkPlatform(reference, image, platform)
  return image
}

/**
 * Chooses the name for a save. An image that was pulled by digest has no tag, and would be
 * loaded without one; if the reference has a tag too, the image is given this tag.
 *
 * @returns the name to save the image by: with its tag, if the reference has one
 */
export async function nameForSave(
  engine: Engine,
  reference: ImageReference,
  { notify }: Pick<VerbContext, 'notify'>,
): Promise<string> {
  const tagged = taggedName(reference)
  if (tagged === undefined) return pullName(reference)
  if (reference.digest === undefined) return tagged
  const before = await inspectImage(engine, tagged)
  await tagImage(engine, pullName(reference), tagged)
  const after = await inspectImage(engine, tagged)
  if (before && before.id !== after?.id) {
    notify({ type: 'warning', text: `the tag "${tagged}" was ${before.id} here before` })
  }
  return tagged
}

// Of a longer line, only the end is shown.
const MAX_LINE = 4096

async function pullOnce(
  engine: Engine,
  reference: ImageReference,
  options: FetchOptions,
): Promise<void> {
  const { platform, drawProgress, notify, signal } = options
  const choice = platform === undefined ? [] : ['--platform', platform]
  const child = startChild(engine.name, ['pull', ...choice, pullName(reference)], {
    stdout: drawProgress ? 'inherit' : 'pipe',
    toError: (stderr) => engineError(`pull "${reference.text}"`, stderr, reference.registry),
  })
  child.stdin.end()
  const show = async (): Promise<void> => {
    const lines = createInterface(child.stdout)
    // readline notices the end of its input, but not that the input was destroyed.
    child.stdout.once('close', () => lines.close())
    for await (const line of lines) {
      notify({ type: 'output', text: withoutCredentials(endOf(line, MAX_LINE)) })
    }
  }
  await withChildren([child], signal, show())
}

function isNetworkFault(error: unknown): error is ToolError {
  return error instanceof ToolError && error.code === 'REGISTRY_UNREACHABLE'
}

// linux/arm64 accepts any variant, linux/arm64/v8 only that one.
function checkPlatform(
  reference: ImageReference,
  image: StoredImage,
  want: string | undefined,
): void {
  if (want === undefined || `${image.platform}/`.startsWith(`${want}/`)) return
  throw new ToolError(
    'WRONG_PLATFORM',
    `pull "${reference.text}": platform: got ${image.platform}, want ${want}`,
    { hint: 'the registry has this image for another platform only' },
  )
}
