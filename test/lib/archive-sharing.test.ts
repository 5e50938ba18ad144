import t from 'tap'

import type { ArchiveRecord } from '../../lib/delivery/metadata.ts'
import { countShared } from '../../lib/archive-sharing.ts'
import { hexOf, sha256 } from '../fixtures/digest.ts'
import { SAMPLE_RECORD } from '../fixtures/sample-record.ts'

const TAR_BYTES = 10
const ARCHIVE_BYTES = 4

/** The record of an archive with a segment for each layer that is not required. */
function record(layers: readonly string[], more: Partial<ArchiveRecord> = {}): ArchiveRecord {
  const required = new Set(more.requires?.map(({ digest }) => digest))
  const own = layers.map((layer) => sha256(layer)).filter((digest) => !required.has(digest))
  const image = {
    repoTags: ['tag:1'],
    platform: 'linux/amd64',
    configDigest: sha256('config'),
    manifestDigests: [],
    layers: layers.map((layer) => ({ diffId: sha256(layer), sizeBytes: TAR_BYTES })),
  }
  const segments = [...own, undefined].map((layerDigest, index) => ({
    offsetBytes: index * ARCHIVE_BYTES,
    sizeBytes: ARCHIVE_BYTES,
    sha256: hexOf(sha256('segment')),
    tarOffsetBytes: index * TAR_BYTES,
    tarSizeBytes: TAR_BYTES,
    ...(layerDigest !== undefined && { layerDigest }),
  }))
  const tar = { sizeBytes: segments.length * TAR_BYTES }
  return { ...SAMPLE_RECORD, images: [image], tar, segments, ...more }
}

const held = (name: string, of: ArchiveRecord | undefined) => {
  return { name, sizeBytes: of ? of.segments.length * ARCHIVE_BYTES : 7, record: of }
}

t.test('countShared: a layer that two archives hold counts once in the end', async (t) => {
  const lines = countShared([held('one', record(['a', 'b'])), held('two', record(['b', 'c']))])
  t.match(lines, [
    { archive: 'one', image: 'tag:1', tarBytes: 30, holding: { layers: 2, sharedLayers: 1 } },
    { archive: 'two', image: 'tag:1', tarBytes: 30, holding: { layers: 2, sharedLayers: 1 } },
    { image: 'total', tarBytes: 60, archiveBytes: 24, holding: { layers: 3, sharedLayers: 1 } },
    { image: 'total, shared layers once', tarBytes: 50, archiveBytes: 20 },
  ])
})

t.test('countShared: what an increment leaves out it does not hold', async (t) => {
  const digest = sha256('a')
  const requires = [{ digest, sizeBytes: TAR_BYTES, path: 'a/layer.tar', archive: 'full.tar.xz' }]
  const [, increment, total] = countShared([
    held('full.tar.xz', record(['a'])),
    held('increment', record(['a', 'b'], { requires })),
  ])
  t.match(increment?.holding, { layers: 2, sharedLayers: 0, incrementOf: ['full.tar.xz'] })
  t.match(total?.holding, { layers: 2, sharedLayers: 0 })
})

t.test('countShared: without a record the size is known, and no more', async (t) => {
  const [line, total] = countShared([held('bare', undefined)])
  t.strictSame(line, { image: 'bare', archive: 'bare', archiveBytes: 7 })
  t.match(total, { tarBytes: 0, archiveBytes: 7 })
})

t.test(
  'countShared: the image is called by its reference, else by its tag or its archive',
  async (t) => {
    const [image] = record([]).images
    const images = image
      ? [
          { ...image, reference: 'asked/for:1' },
          { ...image, repoTags: [] },
        ]
      : []
    const [two, none] = countShared([
      held('two', record([], { images })),
      held('none', record([], { images: [] })),
    ])
    t.equal(two?.image, 'asked/for:1, two')
    t.equal(none?.image, 'none')
    t.equal(none?.holding?.created, undefined)
  },
)
