import t from 'tap'

import { digestSegments } from '../../../lib/archive/segment-digest.ts'
import { hexOf, sha256 } from '../../fixtures/digest.ts'
import { pseudoRandom } from '../../fixtures/sample-layers.ts'
import { chunked } from '../../fixtures/tar-builder.ts'

const BYTES = pseudoRandom('segments', 1600)

// The sizes of the segments, of 1600 bytes
const CUTS: [string, number[]][] = [
  ['none', []],
  ['one', [1600]],
  ['several', [1, 511, 512, 513, 63]],
  ['of which some are empty', [0, 800, 0, 0, 800, 0]],
  ['that are less than there is', [100, 100]],
  ['that are more than there is', [1600, 1, 0]],
  ['of which the last is cut off', [1000, 601]],
]

for (const [what, sizes] of CUTS) {
  t.test(`digestSegments: ${what}, in chunks of any size`, async (t) => {
    let from = 0
    const want = sizes.map((size) => hexOf(sha256(BYTES.subarray(from, (from += size)))))
    for (const chunkBytes of [1, 7, 511, 512, 513, 1600]) {
      const digester = digestSegments(sizes.map((sizeBytes) => ({ sizeBytes })))
      for (const chunk of chunked(BYTES, chunkBytes)) digester.write(chunk)
      t.strictSame(digester.end(), want)
    }
  })
}

t.test('digestSegments: nothing at all', async (t) => {
  t.strictSame(digestSegments([{ sizeBytes: 0 }, { sizeBytes: 1 }]).end(), [
    hexOf(sha256('')),
    hexOf(sha256('')),
  ])
})
