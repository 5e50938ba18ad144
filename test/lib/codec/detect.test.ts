import { gzipSync, zstdCompressSync } from 'node:zlib'
import t from 'tap'

import { compressionOf } from '../../../lib/codec/detect.ts'
import { START_BYTES } from '../../../lib/tar/digest.ts'
import { sh } from '../../fixtures/run.ts'
import { GREETING } from '../../fixtures/sample-layers.ts'
import { tar } from '../../fixtures/tar-builder.ts'

const LAYER = tar([GREETING])

t.test('compressionOf: what compressors write', async (t) => {
  t.equal(compressionOf(gzipSync(LAYER)), 'gzip')
  t.equal(compressionOf(zstdCompressSync(LAYER)), 'zstd')
  for (const program of ['xz', 'bzip2'] as const) {
    const text = await sh(`${program} | base64 -w0`, { input: LAYER })
    const start = Buffer.from(text, 'base64').subarray(0, START_BYTES)
    t.equal(compressionOf(start), program)
  }
})

t.test('compressionOf: what is not compressed', async (t) => {
  for (const bytes of [
    LAYER,
    Buffer.alloc(0),
    Buffer.of(0x1f),
    Buffer.alloc(1024),
    Buffer.from('BZ'),
  ]) {
    t.equal(compressionOf(bytes), undefined)
  }
})
