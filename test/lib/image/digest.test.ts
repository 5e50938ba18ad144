import t from 'tap'

import {
  blobPath,
  digestAt,
  digestOf,
  hexOf,
  isDigest,
  parseDigest,
} from '../../../lib/image/digest.ts'

// By: printf a | sha256sum
const HEX = 'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb'
const DIGEST = `sha256:${HEX}` as const

t.test('digestOf: of a text and of its bytes', async (t) => {
  t.equal(digestOf('a'), DIGEST)
  t.equal(digestOf(Buffer.from('a')), DIGEST)
})

t.test('blobPath and digestAt: one is the reverse of the other', async (t) => {
  t.equal(blobPath(DIGEST), `blobs/sha256/${HEX}`)
  t.equal(digestAt(blobPath(DIGEST)), DIGEST)
  t.equal(hexOf(DIGEST), HEX)
})

const NONE = ['', HEX, `sha256:${HEX.toUpperCase()}`, `sha256:${HEX}0`, `${DIGEST}\n`, 'sha512:00']

for (const text of NONE) {
  t.test(`isDigest: not ${JSON.stringify(text)}`, async (t) => {
    t.notOk(isDigest(text))
    t.equal(parseDigest(text), undefined)
  })
}

for (const key of [
  '',
  HEX,
  `blobs/${HEX}`,
  'blobs/sha256/',
  `blobs/sha256/${HEX}.json`,
  `x/blobs/sha256/${HEX}`,
]) {
  t.test(`digestAt: none at "${key}"`, async (t) => {
    t.equal(digestAt(key), undefined)
  })
}
