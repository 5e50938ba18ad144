import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import type { Notice } from '../../../lib/core/outcome.ts'
import { checkSpace } from '../../../lib/delivery/free-space.ts'

// size of the images by free space, what is said; twice as much as is free is
// the most that usually fits, twenty times as much the most that can
const SIZES: [number, 'nothing' | 'warning' | 'NO_SPACE'][] = [
  [0, 'nothing'],
  [1.5, 'nothing'],
  [3, 'warning'],
  [15, 'warning'],
  [30, 'NO_SPACE'],
]

for (const [times, want] of SIZES) {
  t.test(`checkSpace: ${want} for ${times} times what is free`, async (t) => {
    const dir = t.testdir()
    const { bavail, bsize } = await statfs(dir)
    const notices: Notice[] = []
    const checked = checkSpace(dir, times * bavail * bsize, (notice) => notices.push(notice))
    if (want === 'NO_SPACE') {
      await t.rejects(checked, {
        code: 'NO_SPACE',
        message: /^save: ".*" has .* which cannot fit$/,
      })
    } else await checked
    const text = /^".*" has [\d.]+ \w?B free for [\d.]+ \w?B of images, which may not be enough$/
    t.match(notices, want === 'warning' ? [{ type: 'warning', text }] : [])
    t.equal(notices.length, want === 'warning' ? 1 : 0)
  })
}

t.test('checkSpace: tells where there is no directory', async (t) => {
  await t.rejects(
    checkSpace(join(t.testdir(), 'none'), 1, () => {}),
    { code: 'ENOENT' },
  )
})
