// The paths of the project, so that its commands work the same from any directory.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The directory of package.json. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')

/** The directory of all that is built. */
export const DIST = join(ROOT, 'dist')
