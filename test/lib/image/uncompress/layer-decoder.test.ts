import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import t from 'tap'

import { decodeLayer } from '../../../../lib/image/uncompress/layer-decoder.ts'
import { sh } from '../../../fixtures/run.ts'
import { pseudoRandom } from '../../../fixtures/sample-layers.ts'
import { chunked } from '../../../fixtures/tar-builder.ts'

const COMPRESS = { gzip: gzipSync, zstd: zstdCompressSync }
const LAYER = Buffer.concat([pseudoRandom('layer', 3000), Buffer.alloc(300_000, 'layer')])
// zstd's way to store what is no data; some builders put their own index into it.
const SKIPPED = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3])

const decode = (bytes: Buffer, chunkBytes: number) =>
  buffer(decodeLayer(Readable.from(chunked(bytes, chunkBytes)), 'blob'))

for (const compression of ['gzip', 'zstd'] as const) {
  const compress = COMPRESS[compression]
  const whole = compress(LAYER)
  const parts = [LAYER.subarray(0, 1000), Buffer.alloc(0), LAYER.subarray(1000)]
  const pieces = parts.map((part) => compress(part))
  for (const chunkBytes of [1, 7, 1000, whole.length]) {
    t.test(`decodeLayer: ${compression}, chunks of ${chunkBytes} bytes`, async (t) => {
      t.ok(LAYER.equals(await decode(whole, chunkBytes)), 'whole')
      t.ok(LAYER.equals(await decode(Buffer.concat(pieces), chunkBytes)), 'in parts')
    })
  }

  t.test(`decodeLayer: ${compression} that is cut off, damaged or followed is told`, async (t) => {
    const damaged = Buffer.from(whole)
    damaged.fill(0xff, 4, 60)
    const followed = Buffer.concat([whole, Buffer.from('more')])
    for (const bytes of [whole.subarray(0, 30), whole.subarray(0, -1), damaged, followed]) {
      const error = { code: 'BAD_IMAGE', message: /^decompress layer "blob": / }
      await t.rejects(decode(bytes, 1000), error, `${bytes.length}`)
    }
  })

  t.test(`decodeLayer: ${compression} whose source fails tells that`, async (t) => {
    async function* broken() {
      yield whole.subarray(0, 1000)
      throw new Error('the source failed')
    }
    await t.rejects(buffer(decodeLayer(broken(), 'blob')), /the source failed/)
  })

  t.test(`decodeLayer: ${compression}, nobody reads on while it decodes`, async (t) => {
    let isOver = false
    async function* source() {
      yield compress(Buffer.alloc(10_000_000))
      isOver = true
    }
    for await (const chunk of decodeLayer(source(), 'blob')) {
      t.ok(chunk.length > 0)
      break
    }
    t.notOk(isOver, 'the rest was not asked for')
  })

  t.test(`decodeLayer: ${compression}, nobody reads on while it waits for more`, async (t) => {
    const { promise: isLeft, resolve: leave } = Promise.withResolvers<void>()
    let isRead = false
    async function* source() {
      yield compress('first')
      await isLeft
      isRead = true
      yield Buffer.from('what nobody wants')
    }
    for await (const chunk of decodeLayer(source(), 'blob')) {
      t.ok(chunk.length > 0)
      await delay(50)
      setTimeout(leave, 50)
      break
    }
    t.ok(isRead)
  })

  t.test(`decodeLayer: ${compression}, nobody reads to the end`, async (t) => {
    for await (const chunk of decodeLayer(Readable.from(chunked(whole, 100)), 'b')) {
      t.ok(LAYER.subarray(0, chunk.length).equals(chunk))
      break
    }
  })
}

t.test('decodeLayer: zstd with skippable frames', async (t) => {
  const bytes = Buffer.concat([zstdCompressSync(LAYER), SKIPPED, zstdCompressSync('more'), SKIPPED])
  for (const chunkBytes of [1, 1000, bytes.length]) {
    const want = Buffer.concat([LAYER, Buffer.from('more')])
    t.ok(want.equals(await decode(bytes, chunkBytes)), `${chunkBytes}`)
  }
})

t.test('decodeLayer: zstd that begins with a skippable frame, as pzstd writes it', async (t) => {
  for (const chunkBytes of [1, 1000]) {
    const layer = Buffer.concat([SKIPPED, zstdCompressSync(LAYER)])
    t.ok(LAYER.equals(await decode(layer, chunkBytes)))
  }
})

t.test('decodeLayer: zstd that looks further back than it does by itself', async (t) => {
  const layer = await sh('head -c 300000 /dev/zero | zstd -c --long=28 | base64 -w0')
  t.ok(Buffer.alloc(300_000).equals(await decode(Buffer.from(layer, 'base64'), 1000)))
})

t.test('decodeLayer: what is not compressed stays as it is', async (t) => {
  for (const text of ['', 'a', 'a tar', '{}', '\x1f', '\x28\xb5\x2f', '\x1f\x8a\x1f\x8b']) {
    const bytes = Buffer.from(text, 'latin1')
    for (const chunkBytes of [1, 3, 100]) t.ok(bytes.equals(await decode(bytes, chunkBytes)), text)
  }
})
