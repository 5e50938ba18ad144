import t from 'tap'

import type { ReadArchive } from '../../../../lib/archive/reader.ts'
import {
  compareImages,
  engineMd5,
  hasSameContent,
} from '../../../../lib/commands/verify/compare.ts'
import type { SourceDigest } from '../../../../lib/commands/verify/source-image.ts'
import { toDigest } from '../../../../lib/image/digest.ts'
import { SAMPLE_RECORD } from '../../../fixtures/sample-record.ts'

const { images, archive, tar } = SAMPLE_RECORD
const READ: ReadArchive = {
  archive,
  segments: [],
  tar: { ...tar, endBytes: tar.sizeBytes, membersSha256: 'a'.repeat(64) },
  images,
}
const ENGINE: SourceDigest = { tar: READ.tar, images }
const OTHER_LAYOUT: SourceDigest = {
  images,
  tar: { ...READ.tar, contentMd5: 'f'.repeat(32), membersSha256: 'f'.repeat(64) },
}

t.test('compareImages: with nothing but itself, and what that leaves open', async (t) => {
  t.match(compareImages(READ, undefined, undefined), [/^no image to compare it with/])
  t.match(compareImages({ ...READ, images: [] }, undefined, undefined), [/^not a saved image/])
  t.strictSame(compareImages(READ, undefined, SAMPLE_RECORD), ['checked against its metadata'])
})

t.test('compareImages: with the engine, byte for byte or by its digests', async (t) => {
  t.strictSame(compareImages(READ, ENGINE, undefined), ['checked against the engine'])
  t.match(compareImages(READ, OTHER_LAYOUT, undefined), [/differently: .* 1 layers are the same$/])
  const [image] = images
  const other = {
    ...OTHER_LAYOUT,
    images: image ? [{ ...image, config: { digest: toDigest('other') } }] : [],
  }
  t.throws(() => compareImages(READ, other, undefined), {
    code: 'MISMATCH',
    message: /the engine has sha256:other$/,
  })
})

// how the engine's tar was read, what is known of it, whether the content is the same, its md5
const { contentMd5: OWN_MD5, ...WITHOUT_MD5 } = READ.tar
const CONTENTS: [string, SourceDigest['tar'], boolean, string | undefined][] = [
  ['all the same', READ.tar, true, OWN_MD5],
  ['the same sha256, and no md5', WITHOUT_MD5, true, OWN_MD5],
  ['cut otherwise', { ...READ.tar, membersSha256: 'b' }, true, OWN_MD5],
  ['another content', OTHER_LAYOUT.tar, false, 'f'.repeat(32)],
  ['another content, and no md5', { ...WITHOUT_MD5, membersSha256: 'b' }, false, undefined],
]

for (const [what, engine, isSame, md5] of CONTENTS) {
  t.test(`hasSameContent, engineMd5: ${what}`, async (t) => {
    t.equal(hasSameContent(READ, { images, tar: engine }), isSame)
    t.equal(engineMd5(READ, { images, tar: engine }), md5)
  })
}

t.test('hasSameContent: without an md5 on either side only the sha256 count', async (t) => {
  const read = { tar: WITHOUT_MD5 }
  t.ok(hasSameContent(read, { images, tar: WITHOUT_MD5 }))
  t.notOk(hasSameContent(read, { images, tar: { ...WITHOUT_MD5, membersSha256: 'b' } }))
})
