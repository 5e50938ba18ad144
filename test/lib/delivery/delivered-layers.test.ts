import t from 'tap'

import { deliveredLayers, type DeliveredLayer } from '../../../lib/delivery/delivered-layers.ts'
import type { ArchiveMetadata } from '../../../lib/delivery/metadata.ts'
import { sha256 } from '../../fixtures/digest.ts'
import { SAMPLE_RECORD } from '../../fixtures/sample-record.ts'

/** Metadata of images, each of the layers of these names. */
function recordOf(file: string, ...images: string[]): ArchiveMetadata {
  const [image] = SAMPLE_RECORD.images
  if (!image) throw new Error('no image')
  const layersOf = (names: string) =>
    names.split('').map((name) => {
      return { digest: sha256(name), sizeBytes: name.charCodeAt(0), diffId: sha256(name) }
    })
  return {
    ...SAMPLE_RECORD,
    images: images.map((names) => ({ ...image, layers: layersOf(names) })),
    archive: { ...SAMPLE_RECORD.archive, file },
  }
}

// the layers of this image, of the images in earlier deliveries, of what is left out
const DELIVERIES: [string, string[], string][] = [
  ['abc', [], ''],
  ['abc', ['abc'], 'abc'],
  ['abc', ['abx'], 'ab'],
  ['abc', ['ab'], 'ab'],
  ['ab', ['abc'], 'ab'],
  ['abc', ['xbc'], ''],
  ['abc', ['cba'], ''],
  ['abc', ['bc'], ''],
  ['abc', ['a', 'abx', 'x'], 'ab'],
  ['abc', ['a', 'xbc'], 'a'],
  ['', ['abc'], ''],
  ['abc', [''], ''],
  ['aba', ['ab'], 'b'],
  ['abab', ['a'], ''],
  ['aba', ['aba'], 'ab'],
  ['aab', ['a'], ''],
  ['aab', ['aa'], 'a'],
]

for (const [diffIds, images, want] of DELIVERIES) {
  t.test(
    `deliveredLayers: of ${diffIds || 'none'}, after ${images.join() || 'none'}: ${want || 'none'}`,
    async (t) => {
      const names = diffIds.split('').map((name) => sha256(name))
      const digests = new Set(want.split('').map((name) => sha256(name)))
      const one = deliveredLayers([recordOf('all.tar.xz', ...images)], names)
      t.strictSame(new Set(one.keys()), digests, 'in one archive')
      const metadata = images.map((image) => recordOf(`${image}.tar.xz`, image))
      t.strictSame(new Set(deliveredLayers(metadata, names).keys()), digests, 'each in its own')
    },
  )
}

t.test('deliveredLayers: of several archives the first one counts', async (t) => {
  const metadata = ['one.tar.xz', 'two.tar.xz'].map((file) => recordOf(file, 'ab'))
  const digests = ['a', 'b'].map((name) => sha256(name))
  for (const each of [metadata, metadata.toReversed()]) {
    const found = [...deliveredLayers(each, digests).values()]
    const [first] = each
    t.strictSame(
      found.map(({ archive }) => archive),
      [first?.archive.file, first?.archive.file],
    )
  }
})

t.test('deliveredLayers: a layer that is compressed in the tar counts by what it is', async (t) => {
  const [image] = recordOf('all.tar.xz', 'ab').images
  if (!image) throw new Error('no image')
  const layers = image.layers.map((layer) => ({ ...layer, digest: sha256(layer.diffId) }))
  const metadata = { ...recordOf('all.tar.xz', 'ab'), images: [{ ...image, layers }] }
  const delivered = deliveredLayers([metadata], ['a', 'b', 'a'].map(sha256))
  t.strictSame([...delivered.keys()], [sha256(sha256('b'))])
})

t.test(
  'deliveredLayers: names the archive that carried it, not the increment after it',
  async (t) => {
    const requires = [
      { digest: sha256('a'), sizeBytes: 97, path: 'a/layer.tar', archive: 'may.tar.xz' },
    ]
    const june = { ...recordOf('june.tar.xz', 'ab'), requires }
    t.strictSame(
      [...deliveredLayers([june], [sha256('a'), sha256('b')]).values()],
      [
        { digest: sha256('a'), sizeBytes: 97, archive: 'may.tar.xz' },
        { digest: sha256('b'), sizeBytes: 98, archive: 'june.tar.xz' },
      ],
    )
  },
)

t.test('deliveredLayers: where one archive has lost a layer, the next one counts', async (t) => {
  const metadata = ['may.tar.xz', 'june.tar.xz'].map((file) => recordOf(file, 'ab'))
  const isLost = ({ digest, archive }: DeliveredLayer): boolean =>
    archive === 'may.tar.xz' && digest === sha256('a')
  t.match(
    [...deliveredLayers(metadata, ['a', 'b'].map(sha256), isLost).values()],
    [
      { digest: sha256('b'), archive: 'may.tar.xz' },
      { digest: sha256('a'), archive: 'june.tar.xz' },
    ],
  )
  t.equal(deliveredLayers(metadata, ['a', 'b'].map(sha256), () => true).size, 0)
})

t.test('deliveredLayers: a compressed layer is known by the digest of its blob', async (t) => {
  const [image] = SAMPLE_RECORD.images
  const [layer] = image?.layers ?? []
  const found = deliveredLayers([SAMPLE_RECORD], [layer?.diffId ?? ''])
  t.strictSame([...found.keys()], [layer?.digest])
})
