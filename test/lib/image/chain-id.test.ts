import t from 'tap'

import { chainIds } from '../../../lib/image/chain-id.ts'
import { sh } from '../../fixtures/run.ts'

const [A, B] = ['a', 'b'].map((digit) => `sha256:${digit.repeat(64)}`)

// By: printf '%s %s' BELOW DIFF_ID | sha256sum
const AB = 'sha256:ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c'

const CHAINS: [string, string[], string[]][] = [
  ['no layer', [], []],
  ['one layer, which is its diffID', [A ?? ''], [A ?? '']],
  ['two layers', [A ?? '', B ?? ''], [A ?? '', AB]],
]

for (const [what, diffIds, want] of CHAINS) {
  t.test(`chainIds: of ${what}`, async (t) => {
    t.strictSame(chainIds(diffIds), want)
  })
}

t.test('chainIds: the same layer has another one at each place', async (t) => {
  const chain = chainIds([A ?? '', A ?? '', B ?? '', A ?? ''])
  t.equal(new Set(chain).size, 4)
  for (const [index, below] of chain.slice(0, -1).entries()) {
    const diffId = [A, B, A][index]
    const want = await sh(`printf '%s %s' ${below} ${diffId} | sha256sum | cut -c-64`)
    t.equal(chain[index + 1], `sha256:${want}`)
  }
})
