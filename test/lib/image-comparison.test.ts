import t from 'tap'

import type { ReadArchive } from '../../lib/archive-reader.ts'
import { compareImages } from '../../lib/image-comparison.ts'
import type { EngineDigest } from '../../lib/original.ts'
import { SAMPLE_RECORD } from '../fixtures/sample-record.ts'

const { images, archive, tar } = SAMPLE_RECORD
const READ: ReadArchive = {
  archive,
  segments: [],
  tar: { ...tar, endBytes: tar.sizeBytes },
  images,
}
const ENGINE: EngineDigest = { tar: READ.tar, images }
const OTHER_LAYOUT: EngineDigest = { images, tar: { ...READ.tar, contentMd5: 'f'.repeat(32) } }

t.test('compareImages: with nothing but itself, and what that leaves open', async (t) => {
  t.match(compareImages(READ, undefined, undefined), [/^no image to compare it with/])
  t.match(compareImages({ ...READ, images: [] }, undefined, undefined), [/^it is no saved image/])
  t.strictSame(compareImages(READ, undefined, SAMPLE_RECORD), ['checked against its record'])
})

t.test('compareImages: with the engine, byte for byte or by its digests', async (t) => {
  t.strictSame(compareImages(READ, ENGINE, undefined), ['checked against the engine'])
  t.match(compareImages(READ, OTHER_LAYOUT, undefined), [/differently: .* 1 layers are the same$/])
  const [image] = images
  const other = { ...OTHER_LAYOUT, images: image ? [{ ...image, configDigest: 'other' }] : [] }
  t.throws(() => compareImages(READ, other, undefined), {
    code: 'MISMATCH',
    message: /the engine has other$/,
  })
})
