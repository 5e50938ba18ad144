import t from 'tap'

import { badBlock, badXz, type BlockFault } from '../../../../lib/codec/xz/error.ts'

const PLACE = { archive: 'a.tar.xz', offsetBytes: 12 }
const DAMAGED = /^it is damaged or was cut off/

t.test('badXz: the place, and what to do about it', async (t) => {
  const message = 'decompress "a.tar.xz": at byte 12: it ends here'
  t.match(badXz(PLACE, 'it ends here'), { code: 'BAD_ARCHIVE', message, hint: DAMAGED })
  t.match(badXz(PLACE, 'it ends here', 'wait'), { message, hint: 'wait' })
})

// why, what is said of it, what to do
const FAULTS: [BlockFault, string | RegExp, RegExp][] = [
  ['too long', /more bytes than the index says$/, DAMAGED],
  ['cut off', /goes on after the place/, DAMAGED],
  [6, /dictionary is larger than 192 MiB/, /^install xz or pixz/],
  [9, /corrupt/, DAMAGED],
  [99, /liblzma says 99$/, DAMAGED],
]

for (const [fault, cause, hint] of FAULTS) {
  t.test(`badBlock: ${fault}`, async (t) => {
    const error = badBlock(PLACE, 3, fault)
    t.match(error, { code: 'BAD_ARCHIVE', message: cause, hint })
    t.match(error.message, /^decompress "a.tar.xz": at byte 12: block 3: /)
  })
}
