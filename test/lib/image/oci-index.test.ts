import t from 'tap'

import { isIndex, normalizeIndex } from '../../../lib/image/oci-index.ts'
import { json } from '../../fixtures/oci-tar.ts'

const OF_HOST = { 'containerd.io/distribution.source.r.io': 'team/secret,other/repo' }
const NAMED = { 'io.containerd.image.name': 'r.io/a:1' }
const manifest = { mediaType: 'm', digest: 'sha256:0', size: 7 }
const index = (manifests: unknown[], more: object = {}): Buffer =>
  json({ schemaVersion: 2, manifests, ...more })

// what, an index, the same without names of its host
const NORMALIZED: [string, Buffer, Buffer][] = [
  [
    'annotations of both kinds',
    index([{ ...manifest, annotations: { ...OF_HOST, ...NAMED } }]),
    index([{ ...manifest, annotations: NAMED }]),
  ],
  ['no others', index([{ ...manifest, annotations: OF_HOST }]), index([manifest])],
  [
    'the second of two manifests',
    index([manifest, { ...manifest, annotations: OF_HOST }]),
    index([manifest, manifest]),
  ],
  ['the index itself', index([manifest], { annotations: OF_HOST }), index([manifest])],
  [
    'characters that Go escapes',
    index([{ ...manifest, annotations: { ...OF_HOST, text: '<\u2028>' } }]),
    Buffer.from(
      index([{ ...manifest, annotations: { text: '?' } }])
        .toString()
        .replace('?', '\\u003c\\u2028\\u003e'),
    ),
  ],
]

for (const [what, content, want] of NORMALIZED) {
  t.test(`normalizeIndex: ${what}`, async (t) => {
    const got = normalizeIndex(content)
    t.equal(got.toString(), want.toString())
    t.equal(normalizeIndex(got), got, 'a second time changes nothing')
  })
}

// what, content that stays
const KEPT: [string, Buffer][] = [
  ['nothing', Buffer.alloc(0)],
  ['an index without annotations', index([manifest])],
  ['an index with others', index([{ ...manifest, annotations: NAMED }])],
  ['an empty object of them', index([{ ...manifest, annotations: {} }])],
  ['null for them', index([{ ...manifest, annotations: null }])],
  ['the words elsewhere', index([{ ...manifest, note: Object.keys(OF_HOST) }])],
  ['no JSON', Buffer.from(`{"${Object.keys(OF_HOST)[0]}":`)],
  ['JSON of another kind', json([OF_HOST])],
  ['too much', Buffer.concat([json(OF_HOST), Buffer.alloc(8 * 1024 * 1024, ' ')])],
]

for (const [what, content] of KEPT) {
  t.test(`normalizeIndex: keeps ${what}`, async (t) => {
    t.equal(normalizeIndex(content), content)
  })
}

t.test('isIndex: a file of that name', async (t) => {
  const member = { type: '0', sizeBytes: 1, offsetBytes: 512, linkPath: '', sparse: false }
  for (const path of ['index.json', './index.json']) t.ok(isIndex({ ...member, path }), path)
  t.notOk(isIndex({ ...member, path: 'blobs/index.json' }))
  const path = 'index.json'
  t.notOk(isIndex({ ...member, path, type: '2' }))
  t.notOk(isIndex({ ...member, path, sparse: true }))
  t.notOk(isIndex({ ...member, path, sizeBytes: 9 * 1024 * 1024 }))
})
