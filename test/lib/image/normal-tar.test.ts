import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import t from 'tap'

import { normalizeTar } from '../../../lib/image/normal-tar.ts'
import { normalizeIndex } from '../../../lib/image/oci-index.ts'
import { TarDigester } from '../../../lib/tar/digest.ts'
import { json } from '../../fixtures/oci-tar.ts'
import { pseudoRandom } from '../../fixtures/sample-layers.ts'
import { chunked, tar, type TarEntry } from '../../fixtures/tar-builder.ts'

const normal = (bytes: Buffer, size = bytes.length): Promise<Buffer> =>
  buffer(normalizeTar(Readable.from(chunked(Buffer.from(bytes), size))))

const indexOf = (annotations: object): Buffer =>
  json({ schemaVersion: 2, manifests: [{ digest: 'sha256:0', annotations }] })
const OF_HOST = { 'containerd.io/distribution.source.r.io': 'team/secret' }
const KEPT = indexOf({ name: 'a' })
const imageOf = (content: Buffer, path = 'index.json'): Buffer => {
  const blob: TarEntry = { path: 'blobs/sha256/0', content: pseudoRandom('blob', 2000) }
  const more: TarEntry = { path: 'manifest.json', content: '[]' }
  return tar([blob, { path, content, mode: 0o600, mtime: 7 }, more])
}

for (const size of [1, 511, 512, 513, 100_000]) {
  t.test(`normalizeTar: an index is made shorter, in chunks of ${size}`, async (t) => {
    const long = indexOf({ name: 'a', ...OF_HOST })
    t.ok((await normal(imageOf(long), size)).equals(imageOf(KEPT)))
    const longer = indexOf({
      name: 'a',
      'containerd.io/distribution.source.r.io': 'x/'.repeat(1000),
    })
    t.ok((await normal(imageOf(longer), size)).equals(imageOf(KEPT)), 'by blocks')
  })

  t.test(`normalizeTar: others stay as they are, in chunks of ${size}`, async (t) => {
    for (const bytes of [imageOf(KEPT), imageOf(Buffer.alloc(0)), imageOf(KEPT, 'other.json')]) {
      t.ok((await normal(bytes, size)).equals(bytes))
    }
  })
}

t.test('normalizeTar: a tar that stops short', async (t) => {
  for (const end of [100, 700, 3000]) {
    await t.rejects(normal(imageOf(KEPT).subarray(0, end)), { code: 'TRUNCATED_TAR' })
  }
})

t.test('TarDigester: what a tar is with another content of some members', async (t) => {
  const long = imageOf(indexOf({ name: 'a', ...OF_HOST }))
  const short = imageOf(KEPT)
  const digest = (bytes: Buffer, isReplaced: boolean, size = bytes.length) => {
    const isWanted = ({ path }: { path: string }): boolean => path === 'index.json'
    const replace = isReplaced ? { isWanted, change: normalizeIndex } : undefined
    const digester = new TarDigester({ normalize: false, md5: true, replace })
    for (const chunk of chunked(Buffer.from(bytes), size)) digester.write(chunk)
    return digester.end()
  }
  const raw = digest(long, false)
  const want = digest(short, false)
  for (const size of [1, 513, long.length]) {
    const got = digest(long, true, size)
    t.equal(got.contentMd5, raw.contentMd5)
    t.equal(got.membersSha256, raw.membersSha256)
    t.equal(got.replacedSha256, want.membersSha256)
  }
  t.equal(raw.replacedSha256, undefined)
  t.not(raw.membersSha256, want.membersSha256)
})
