// Checks before a long run whether its archives can fit on the disk.
import { statfs } from 'node:fs/promises'

import { ToolError } from '../core/errors.ts'
import { formatBytes } from '../core/format.ts'
import type { Notice } from '../core/outcome.ts'

// Shares of the tar that remain after compression. xz leaves 24 % of CUDA libraries and
// programs, and about 90 % of an image that is mostly trained weights. No useful image gets
// below 5 %.
const USUAL_RATIO = 0.5
const MIN_SHARE = 0.05

/**
 * Warns if the space may be too small.
 *
 * @param dir - the directory for the archives
 * @param imageBytes - the size of the images that are still to be saved, in bytes
 * @throws NO_SPACE if the archives cannot fit
 */
export async function checkSpace(
  dir: string,
  imageBytes: number,
  notify: (notice: Notice) => void,
): Promise<void> {
  const { bavail, bsize } = await statfs(dir)
  const free = bavail * bsize
  const text = `"${dir}" has ${formatBytes(free)} free for ${formatBytes(imageBytes)} of images`
  if (free < imageBytes * MIN_SHARE) {
    throw new ToolError('NO_SPACE', `save: ${text}, which cannot fit`, {
      hint: 'free some space, or use another --dir',
    })
  }
  if (free < imageBytes * USUAL_RATIO) {
    notify({ type: 'warning', text: `${text}, which may not be enough` })
  }
}
