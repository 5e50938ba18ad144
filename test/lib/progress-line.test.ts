import t from 'tap'

import { formatProgress } from '../../lib/progress-line.ts'

// tar bytes, archive bytes, share, elapsed ms, the line
const LINES: [number, number, number | undefined, number, string][] = [
  [0, 0, 0, 0, 'a:1  0 B  0 B/s'],
  [0, 0, undefined, 5000, 'a:1  0 B  0 B/s'],
  [2_000_000, 500_000, undefined, 1000, 'a:1  2.0 MB  2.0 MB/s  ratio 0.25'],
  [2_000_000, 0, 0.25, 10_000, 'a:1  2.0 MB  200 kB/s  ratio 0.00  25 %  30s left'],
  [3e9, 2.99e9, 0.999, 60_000, 'a:1  3.0 GB  50.0 MB/s  ratio 1.00  99 %  0.1s left'],
  [3e9, 3e9, 1, 60_000, 'a:1  3.0 GB  50.0 MB/s  ratio 1.00  100 %  0.0s left'],
]

for (const [tarBytes, archiveBytes, share, elapsedMs, want] of LINES) {
  t.test(`formatProgress: ${want}`, async (t) => {
    const notice = { type: 'progress', label: 'a:1', tarBytes, archiveBytes } as const
    t.equal(formatProgress(share === undefined ? notice : { ...notice, share }, elapsedMs), want)
  })
}
