import { join } from 'node:path'
import t from 'tap'

import { findDelivered } from '../../../../lib/commands/save/cached-layers.ts'
import { Catalog } from '../../../../lib/delivery/catalog.ts'
import { formatMetadata, type ArchiveMetadata } from '../../../../lib/delivery/metadata.ts'
import { DOCKER_TYPES } from '../../../../lib/image/oci-schemas.ts'
import { parseReference } from '../../../../lib/image/reference.ts'
import { sha256 } from '../../../fixtures/digest.ts'
import { SAMPLE_RECORD } from '../../../fixtures/sample-record.ts'

const LAYER = sha256('layer')
const IMAGE = {
  id: sha256('image'),
  repoTags: ['c:1'],
  platform: 'linux/amd64',
  diffIds: [LAYER],
  sizeBytes: 10240,
}

/** The metadata of an archive of one layer, which lies in it or not. */
function recordOf(file: string, holds: boolean): ArchiveMetadata {
  const [image] = SAMPLE_RECORD.images
  const [segment] = SAMPLE_RECORD.segments
  if (!image || !segment) throw new Error('the sample has no image, or no segment')
  const layers = [
    {
      mediaType: DOCKER_TYPES.layer,
      digest: LAYER,
      sizeBytes: segment.tarSizeBytes,
      diffId: LAYER,
    },
  ]
  return {
    ...SAMPLE_RECORD,
    images: [{ ...image, layers }],
    archive: { ...SAMPLE_RECORD.archive, file },
    segments: [{ ...segment, ...(holds && { layerDigest: LAYER }) }],
  }
}

// what lies in the delivery, whether the layer counts as delivered
const HERE: [string, ArchiveMetadata[], boolean][] = [
  ['nothing', [], true],
  ['another archive', [recordOf('b-1.tar.xz', false)], true],
  ['the archive that carried it', [recordOf('a-1.tar.xz', true)], true],
  ['that archive, made anew without it', [recordOf('a-1.tar.xz', false)], false],
]

for (const [what, metadata, isDelivered] of HERE) {
  t.test(`findDelivered: ${what} in the delivery`, async (t) => {
    const filesOf = (of: readonly ArchiveMetadata[]) =>
      Object.fromEntries(of.map((each) => [`${each.archive.file}.json`, formatMetadata(each)]))
    const dir = t.testdir({
      carry: filesOf(metadata),
      delivered: filesOf([recordOf('a-1.tar.xz', true)]),
    })
    const found = await findDelivered(parseReference('c:1'), IMAGE, {
      directory: new Catalog(join(dir, 'carry')),
      layers: { reuse: [], since: [new Catalog(join(dir, 'delivered'))], recompress: false },
    })
    t.strictSame([...found.keys()], isDelivered ? [LAYER] : [])
  })
}

t.test(
  'findDelivered: what an archive with damaged metadata still has, nobody knows',
  async (t) => {
    const dir = t.testdir({
      carry: { 'a-1.tar.xz.json': '{' },
      delivered: { 'a-1.tar.xz.json': formatMetadata(recordOf('a-1.tar.xz', true)) },
    })
    const found = await findDelivered(parseReference('c:1'), IMAGE, {
      directory: new Catalog(join(dir, 'carry')),
      layers: { reuse: [], since: [new Catalog(join(dir, 'delivered'))], recompress: false },
    })
    t.strictSame([...found.keys()], [])
  },
)
