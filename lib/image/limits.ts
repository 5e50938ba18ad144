// How much an image may have: some ten times of what is in use. What holds more was
// made to take time, and is refused before the time is taken.
import { ToolError } from '../core/errors.ts'

/** As many images, names and manifests of each, and layers a tar may have. */
export const MAX_IMAGES = 1000
export const MAX_TAGS = 1000
export const MAX_LAYERS = 1000

/** As many manifests all OCI indexes of a tar may name together, and names `repositories` may have. */
export const MAX_ENTRIES = 10_000

/** @throws BAD_IMAGE where there are more of a thing than there may be */
export function checkCount(what: string, got: number, max: number): void {
  if (got <= max) return
  throw new ToolError('BAD_IMAGE', `check image: ${what}: got ${got}, want at most ${max}`)
}
