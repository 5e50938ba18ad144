import t from 'tap'

import { formatBytes, formatElapsed, formatShort } from '../../../lib/core/format.ts'

const BYTES: [number, string][] = [
  [0, '0 B'],
  [1, '1 B'],
  [999, '999 B'],
  [1000, '1.0 kB'],
  [99_900, '99.9 kB'],
  [100_000, '100 kB'],
  [999_499, '999 kB'],
  [999_500, '1.0 MB'],
  [1_234_567_890, '1.2 GB'],
  [5e12, '5.0 TB'],
  [5e15, '5.0 PB'],
  [5e18, '5000 PB'],
]

for (const [bytes, want] of BYTES) {
  t.test(`formatBytes: ${bytes} are ${want}`, async (t) => {
    t.equal(formatBytes(bytes), want)
  })
}

const TIMES: [number, string, string][] = [
  [0, '0 minutes and 0 seconds', '0.0s'],
  [999, '0 minutes and 0 seconds', '1.0s'],
  [9949, '0 minutes and 9 seconds', '9.9s'],
  [9950, '0 minutes and 9 seconds', '10s'],
  [59_499, '0 minutes and 59 seconds', '59s'],
  [59_500, '0 minutes and 59 seconds', '1m00s'],
  [69_000, '1 minutes and 9 seconds', '1m09s'],
  [3_599_499, '59 minutes and 59 seconds', '59m59s'],
  [3_599_500, '59 minutes and 59 seconds', '1h00m'],
  [7_500_000, '125 minutes and 0 seconds', '2h05m'],
]

for (const [ms, elapsed, short] of TIMES) {
  t.test(`formatElapsed, formatShort: ${ms} ms are ${short}`, async (t) => {
    t.equal(formatElapsed(ms), elapsed)
    t.equal(formatShort(ms), short)
  })
}
