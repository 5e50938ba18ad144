// The limits for an image: about ten times the numbers in use. An image with more was made
// to take up time, and is refused before it does.
import { ToolError } from '../core/errors.ts'

/** The most images in a tar; the most names, and manifests, of an image; the most layers of an image. */
export const MAX_IMAGES = 1000
export const MAX_TAGS = 1000
export const MAX_LAYERS = 1000

/** The most manifests that all OCI indexes of a tar name together, and the most names in `repositories`. */
export const MAX_ENTRIES = 10_000

/** @throws BAD_IMAGE if `got` is more than `max` */
export function checkCount(what: string, got: number, max: number): void {
  if (got <= max) return
  throw new ToolError('BAD_IMAGE', `check image: ${what}: got ${got}, want at most ${max}`)
}
