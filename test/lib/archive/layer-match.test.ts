import t from 'tap'

import {
  isCachedLayer,
  isNamedByDigest,
  MIN_LAYER_BYTES,
  looksLikeLayer,
  MatchFailed,
} from '../../../lib/archive/layer-match.ts'
import type { TarMember } from '../../../lib/tar/parser.ts'
import { hexOf, sha256 } from '../../fixtures/digest.ts'

const [A, B] = [sha256('a'), sha256('b')]
const HEX = hexOf(A)

function memberOf(path: string, other: Partial<TarMember> = {}): TarMember {
  const sizeBytes = MIN_LAYER_BYTES
  return { path, type: '0', sizeBytes, offsetBytes: 512, linkPath: '', sparse: false, ...other }
}

// path, what else is of it, whether it looks like a layer
const MEMBERS: [string, Partial<TarMember>, boolean][] = [
  [`${HEX}/layer.tar`, {}, true],
  ['layer.tar', {}, true],
  [`${HEX}.tar`, {}, true],
  [`${HEX}.tar.gz`, {}, true],
  [`blobs/sha256/${HEX}`, {}, true],
  [`sha256:${HEX}`, {}, true],
  [`./blobs/sha256/${HEX}`, {}, true],
  [`${HEX}/layer.tar`, { sizeBytes: MIN_LAYER_BYTES - 1 }, false],
  [`${HEX}/layer.tar`, { sizeBytes: MIN_LAYER_BYTES + 1 }, true],
  [`${HEX}/layer.tar`, { type: '2' }, false],
  [`${HEX}/layer.tar`, { sparse: true }, false],
  [`${HEX}/layer.tar/`, { type: '5' }, false],
  [`${HEX}/layer.tar.old`, {}, false],
  ['my-layer.tar', {}, false],
  [`${HEX}.json`, {}, false],
  [`${HEX}0`, {}, false],
  [HEX.slice(1), {}, false],
  [`x${HEX}.tar`, {}, false],
  ['etc/passwd', {}, false],
  ['', {}, false],
]

for (const [path, other, want] of MEMBERS) {
  t.test(`looksLikeLayer: ${want ? 'yes' : 'no'}: ${path} ${JSON.stringify(other)}`, async (t) => {
    t.equal(looksLikeLayer(memberOf(path, other)), want)
  })
}

const KNOWN = [
  { digest: A, sizeBytes: MIN_LAYER_BYTES },
  { digest: B, sizeBytes: 5 },
]

// path, size, the layers that are expected, whether it may be one that is known
const GUESSES: [string, number, string[] | undefined, boolean][] = [
  [`blobs/sha256/${hexOf(A)}`, MIN_LAYER_BYTES, undefined, true],
  [`blobs/sha256/${hexOf(A)}`, MIN_LAYER_BYTES, [], true],
  [`${hexOf(B)}.tar`, 5, undefined, true],
  [`${hexOf(B)}.tar.gz`, 5, undefined, true],
  [`blobs/sha256/${hexOf(A)}`, 5, undefined, false],
  [`blobs/sha256/${hexOf(B)}`, MIN_LAYER_BYTES, undefined, false],
  ['x/layer.tar', 5, undefined, true],
  ['x/layer.tar', 5, [B], true],
  ['x/layer.tar', 5, [A], false],
  ['x/layer.tar', 5, [], false],
  ['x/layer.tar', 6, [A, B], false],
]

for (const [path, sizeBytes, expected, want] of GUESSES) {
  const of = expected ? `, of ${expected.length} expected` : ''
  t.test(`isKnownLayer: ${want ? 'maybe' : 'no'}: ${path}, ${sizeBytes} bytes${of}`, async (t) => {
    const member = memberOf(path, { sizeBytes })
    t.equal(isCachedLayer(member, KNOWN, expected && new Set(expected)), want)
    t.equal(isCachedLayer(member, [], expected && new Set(expected)), false)
  })
}

t.test('isNamedByDigest: where the name tells one', async (t) => {
  const named = MEMBERS.filter(([path]) => isNamedByDigest(memberOf(path))).map(([path]) => path)
  t.strictSame(named, [
    `${HEX}.tar`,
    `${HEX}.tar.gz`,
    `blobs/sha256/${HEX}`,
    `sha256:${HEX}`,
    `./blobs/sha256/${HEX}`,
  ])
})

t.test('WrongGuess: says what not to trust', async (t) => {
  const error = new MatchFailed('a.tar.xz', 'it was changed')
  t.strictSame(
    [error.about, error.message, error instanceof Error],
    ['a.tar.xz', 'it was changed', true],
  )
})
