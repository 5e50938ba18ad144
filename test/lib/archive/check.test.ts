import { join } from 'node:path'
import t from 'tap'

import {
  checkAgainstMetadata,
  checkListed,
  checkImages,
  checkNotIncrement,
  quickCheck,
} from '../../../lib/archive/check.ts'
import type { ReadArchive } from '../../../lib/archive/reader.ts'
import type { ArchiveMetadata } from '../../../lib/delivery/metadata.ts'
import { hexOf, sha256 } from '../../fixtures/digest.ts'
import { SAMPLE_RECORD } from '../../fixtures/sample-record.ts'

const OTHER = 'f'.repeat(64)
const HINT =
  'it was changed or damaged: copy the archive and its metadata again from where they were made'

/** What is read of the archive that the sample metadata is of. */
const READ: ReadArchive = {
  archive: SAMPLE_RECORD.archive,
  segments: SAMPLE_RECORD.segments.map((segment) => segment.sha256),
  tar: { ...SAMPLE_RECORD.tar, endBytes: SAMPLE_RECORD.tar.sizeBytes, membersSha256: '' },
  images: SAMPLE_RECORD.images,
}
const [IMAGE] = SAMPLE_RECORD.images

t.test('checkAgainstRecord: everything as saved', async (t) => {
  t.doesNotThrow(() => checkAgainstMetadata(READ, SAMPLE_RECORD))
})

// what differs, what was read, the message
const DIFFERENT: [string, Partial<ReadArchive>, string][] = [
  ['the sha256', { archive: { ...READ.archive, sha256: OTHER } }, `check sha256 of the archive: got ${OTHER}, want ${READ.archive.sha256}`],
  ['the size', { archive: { ...READ.archive, sizeBytes: 999 } }, 'check size of the archive: got 999, want 1000'],
  ['the size of the tar', { tar: { ...READ.tar, sizeBytes: 1 } }, 'check size of the tar: got 1, want 10240'],
  ['the content md5', { tar: { ...READ.tar, contentMd5: 'x' } }, 'check content md5: got x, want d41d8cd9'],
  ['the images', { images: [] }, 'check images: got , want registry.example/tool:1.0,'],
  ['a layer', { images: IMAGE ? [{ ...IMAGE, layers: [] }] : [] }, 'check images: got registry.example/tool:1.0,'],
  ['a tag', { images: IMAGE ? [{ ...IMAGE, repoTags: ['other:1'] }] : [] }, 'check images: got other:1,'],
  ['the platform', { images: IMAGE ? [{ ...IMAGE, platform: 'linux/s390x' }] : [] }, 'check images: got registry.example/tool:1.0,linux/s390x,'],
] // prettier-ignore

for (const [what, read, message] of DIFFERENT) {
  t.test(`checkAgainstRecord: ${what} differs`, async (t) => {
    t.throws(() => checkAgainstMetadata({ ...READ, ...read }, SAMPLE_RECORD), {
      code: 'MISMATCH',
      message,
      hint: HINT,
    })
  })
}

const LAYER = sha256('layer')
const [SEGMENT] = SAMPLE_RECORD.segments
const CUT: ArchiveMetadata = {
  ...SAMPLE_RECORD,
  segments: SEGMENT
    ? [
        { ...SEGMENT, sizeBytes: 400, tarSizeBytes: 512 },
        { ...SEGMENT, offsetBytes: 400, sizeBytes: 600, tarOffsetBytes: 512, layerDigest: LAYER },
      ]
    : [],
}

/** What is read of an archive of two segments, the second a layer. */
function readCut(offsetBytes: number, layer: string): ReadArchive {
  const member = { path: 'l', type: '0', sizeBytes: 1, offsetBytes, linkPath: '', sparse: false }
  const members = new Map([['l', { ...member, sha256: hexOf(layer) }]])
  const segments = CUT.segments.map((segment) => segment.sha256)
  return { ...READ, segments, tar: { ...READ.tar, members } }
}

t.test('checkAgainstRecord: segments as saved', async (t) => {
  t.doesNotThrow(() => checkAgainstMetadata(readCut(512, LAYER), CUT))
})

// what is not as saved, what was read, the message
const BAD_SEGMENTS: [string, ReadArchive, string][] = [
  ['the bytes of a segment', { ...readCut(512, LAYER), segments: [OTHER] }, `check sha256 of segment 0: got ${OTHER}, want `],
  ['the number of segments', { ...readCut(512, LAYER), segments: CUT.segments.slice(1).map((each) => each.sha256) }, 'check sha256 of segment 1: got none, want '],
  ['the layer in a segment', readCut(512, sha256('other')), `check layer in segment 1: got ${sha256('other')}, want ${LAYER}`],
  ['the place of a layer', readCut(1024, LAYER), `check layer in segment 1: got sha256:undefined, want ${LAYER}`],
  ['the kind of tar', { ...readCut(512, LAYER), tar: READ.tar }, `check layer in segment 1: got sha256:undefined, want ${LAYER}`],
] // prettier-ignore

for (const [what, read, message] of BAD_SEGMENTS) {
  t.test(`checkAgainstRecord: ${what} is not as saved`, async (t) => {
    t.throws(() => checkAgainstMetadata(read, CUT), { code: 'MISMATCH', message, hint: HINT })
  })
}

t.test('checkImages: those of metadata, in its order', async (t) => {
  t.doesNotThrow(() => checkImages(SAMPLE_RECORD.images, SAMPLE_RECORD))
  for (const images of [[], [...SAMPLE_RECORD.images, ...SAMPLE_RECORD.images]]) {
    t.throws(() => checkImages(images, SAMPLE_RECORD), { code: 'MISMATCH', message: 'images: got' })
  }
})

t.test('checkAgainstRecord: an md5 that one of them lacks is not compared', async (t) => {
  const { contentMd5: _, ...tar } = SAMPLE_RECORD.tar
  t.doesNotThrow(() => checkAgainstMetadata(READ, { ...SAMPLE_RECORD, tar }))
  const read = { ...READ, tar: { ...tar, endBytes: 0, membersSha256: '' } }
  t.doesNotThrow(() => checkAgainstMetadata(read, SAMPLE_RECORD))
})

const NAME = 'a.tar.xz'
const SHA256 = hexOf(sha256('archive'))
const RECORD: ArchiveMetadata = {
  ...SAMPLE_RECORD,
  archive: { ...SAMPLE_RECORD.archive, sha256: SHA256, sizeBytes: 7 },
}

t.test('checkListed: the sha256 that SHA256SUMS has, if any', async (t) => {
  t.doesNotThrow(() => checkListed(SHA256, undefined))
  t.doesNotThrow(() => checkListed(SHA256, SHA256))
  t.throws(() => checkListed(SHA256, OTHER), {
    code: 'MISMATCH',
    message: `check sha256 of the archive, by SHA256SUMS: got ${SHA256}, want ${OTHER}`,
    hint: HINT,
  })
})

const EXPECTED = { metadata: undefined, listed: SHA256 }
const SIGNAL = { signal: new AbortController().signal }

// what, the archive's bytes, its metadata, its sha256 by SHA256SUMS, the code
const QUICK: [string, string, ArchiveMetadata | undefined, string | undefined, string?][] = [
  ['as saved', 'archive', RECORD, undefined],
  ['as listed', 'archive', undefined, SHA256],
  ['as saved and listed', 'archive', RECORD, SHA256],
  ['not as saved', 'archive+', RECORD, undefined, 'MISMATCH'],
  ['not as listed', 'archive+', undefined, SHA256, 'MISMATCH'],
  ['not as listed, but as saved', 'archive', RECORD, OTHER, 'MISMATCH'],
  ['neither saved nor listed', 'archive', undefined, undefined, 'NO_RECORD'],
  ['empty', '', RECORD, undefined, 'MISMATCH'],
]

for (const [what, bytes, metadata, listed, code] of QUICK) {
  t.test(`quickCheck: an archive that is ${what}`, async (t) => {
    const dir = t.testdir({ [NAME]: bytes })
    const checked = quickCheck(join(dir, NAME), { metadata, listed }, SIGNAL)
    if (code === undefined) await t.resolves(checked)
    else await t.rejects(checked, { code })
  })
}

t.test('quickCheck: tells what the system says, or that it was told to stop', async (t) => {
  const dir = t.testdir({ [NAME]: 'archive' })
  const none = join(dir, 'none')
  await t.rejects(quickCheck(none, EXPECTED, SIGNAL), { code: 'ENOENT' })
  const aborted = { signal: AbortSignal.abort() }
  await t.rejects(quickCheck(join(dir, NAME), EXPECTED, aborted), { code: 'INTERRUPTED' })
})

t.test('checkNotIncrement: an increment means nothing without its metadata', async (t) => {
  t.doesNotThrow(() => checkNotIncrement('load', 'a.tar.xz'))
  for (const archive of ['a.increment.tar.xz', 'a.increment.tar.zst']) {
    t.throws(() => checkNotIncrement('load', archive), {
      code: 'NO_RECORD',
      message: `load "${archive}": no metadata beside it`,
    })
  }
})
