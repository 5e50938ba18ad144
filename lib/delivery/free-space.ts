// Whether a delivery can fit at all, asked before a night is spent on it.
import { statfs } from 'node:fs/promises'

import { ToolError } from '../core/errors.ts'
import { formatBytes } from '../core/format.ts'
import type { Notice } from '../core/outcome.ts'

// Of its tar, xz left 24 % of CUDA libraries and programs. What is mostly
// trained weights stays near 90 %; nothing that is of use falls below 5 %.
const USUAL_SHARE = 0.5
const MIN_SHARE = 0.05

/**
 * @param dir - where the archives go
 * @param imageBytes - size of the images that are still to be saved
 * @throws NO_SPACE where they cannot fit; warns where it looks short
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
  if (free < imageBytes * USUAL_SHARE) {
    notify({ type: 'warning', text: `${text}, which may not be enough` })
  }
}
