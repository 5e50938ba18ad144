import { gzipSync, zstdCompressSync } from 'node:zlib'
import t from 'tap'

import { LayerVerifier } from '../../../lib/archive/layer-verifier.ts'
import { TarDigester, type DecodedLayers } from '../../../lib/tar/digest.ts'
import { sha256 } from '../../fixtures/digest.ts'
import { pathOf } from '../../fixtures/oci-tar.ts'
import { sh } from '../../fixtures/run.ts'
import { pseudoRandom } from '../../fixtures/sample-layers.ts'
import { chunked, tar, type TarEntry } from '../../fixtures/tar-builder.ts'

const MIB = 1024 * 1024
const LAYER = Buffer.concat([pseudoRandom('layer', 300_000), Buffer.alloc(5 * MIB, 'layer')])

/** Digests a tar with a verifier, and waits as a reader does. */
async function decode(bytes: Buffer, chunkBytes = 65_536): Promise<DecodedLayers> {
  const verifier = new LayerVerifier()
  const digester = new TarDigester({ normalize: false, md5: false, tap: verifier })
  for (const chunk of chunked(Buffer.from(bytes), chunkBytes)) {
    digester.write(chunk)
    await verifier.ready()
  }
  digester.end()
  const decoded = await verifier.end()
  await verifier.stop()
  return decoded
}

const blobOf = (content: Buffer): TarEntry => ({ path: pathOf(content), content })
const compressed: Record<string, Buffer> = {
  gzip: gzipSync(LAYER),
  zstd: zstdCompressSync(LAYER),
  'gzip of nothing': gzipSync(''),
}
for (const program of ['xz', 'bzip2']) {
  const text = await sh(`${program} -c | base64 -w0`, { input: LAYER })
  compressed[program] = Buffer.from(text, 'base64')
}

for (const [what, content] of Object.entries(compressed)) {
  const plain = what === 'gzip of nothing' ? Buffer.alloc(0) : LAYER
  const want = { digest: sha256(plain), sizeBytes: plain.length }
  t.test(`createLayerVerifier: ${what}, in chunks of any size`, async (t) => {
    const bytes = tar([blobOf(LAYER), blobOf(content), blobOf(Buffer.from('more'))])
    for (const chunkBytes of [513, 65_536, bytes.length]) {
      const decoded = await decode(bytes, chunkBytes)
      t.strictSame([...decoded], [[sha256(content), want]], `${chunkBytes}`)
    }
  })

  t.test(`createLayerVerifier: ${what} that is damaged or cut off`, async (t) => {
    const damaged = Buffer.from(content)
    damaged.fill(0xff, content.length >> 1, (content.length >> 1) + 9)
    const short = content.subarray(0, -1)
    for (const bad of [damaged, short]) {
      const decoded = await decode(tar([blobOf(bad), blobOf(content)]))
      // A zstd frame without a checksum may come to something else.
      t.notSame(decoded.get(sha256(bad)), want)
      const error = { code: 'BAD_IMAGE', message: /^decompress layer "blobs/ }
      if (bad === short) t.match(decoded.get(sha256(bad)), error)
      t.strictSame(decoded.get(sha256(content)), want, 'the next one is read')
    }
  })
}

t.test('createLayerVerifier: many small layers, by any name', async (t) => {
  const layers = Array.from({ length: 300 }, (_, n) => gzipSync(`layer ${n}`))
  const other = { path: 'data.gz', content: gzipSync('other') }
  const decoded = await decode(tar([...layers.map(blobOf), other]))
  t.equal(decoded.size, 301)
  t.match(decoded.get(sha256(other.content)), { digest: sha256('other') })
})

t.test('createLayerVerifier: one that is stopped half way', async (t) => {
  for (const what of ['gzip', 'xz']) {
    const verifier = new LayerVerifier()
    const digester = new TarDigester({ normalize: false, md5: false, tap: verifier })
    digester.write(Buffer.from(tar([blobOf(compressed[what] ?? LAYER)]).subarray(0, 10_000)))
    await verifier.stop()
    t.equal((await verifier.end()).size, 0, what)
  }
})
