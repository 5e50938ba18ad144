import t from 'tap'

import { parseInspection } from '../../../lib/engine/inspect.ts'

const DOCKER_20 = {
  Id: 'sha256:0f',
  RepoTags: ['a/b:1'],
  Os: 'linux',
  Architecture: 'amd64',
  Created: '2024-05-01T12:00:00Z',
  Size: 12,
  RootFS: { Type: 'layers', Layers: ['sha256:1f'] },
}
const OCI = 'application/vnd.oci.image'

// what is other than on Docker 20.10, what is then other in the image, whether it is an index
const INSPECTED: [string, object, object, boolean][] = [
  ['nothing', {}, {}, false],
  ['an ID without sha256', { Id: '0f' }, {}, false],
  ['a variant', { Architecture: 'arm', Variant: 'v7' }, { platform: 'linux/arm/v7' }, false],
  ['no tags', { RepoTags: null }, { repoTags: [] }, false],
  ['no layers', { RootFS: {} }, { diffIds: [] }, false],
  ['no size', { Size: undefined }, { sizeBytes: 0 }, false],
  ['no time', { Created: null }, { created: undefined }, false],
  ['a manifest', { Descriptor: { mediaType: `${OCI}.manifest.v1+json` } }, {}, false],
  ['an index', { Descriptor: { mediaType: `${OCI}.index.v1+json` } }, {}, true],
  [
    'a manifest list',
    { Descriptor: { mediaType: 'application/vnd.docker.distribution.manifest.list.v2+json' } },
    {},
    true,
  ],
]

for (const [what, other, want, isIndex] of INSPECTED) {
  t.test(`parseInspection: ${what}`, async (t) => {
    const parsed = parseInspection(JSON.stringify([{ ...DOCKER_20, ...other }]))
    t.equal(parsed.isIndex, isIndex)
    t.match(parsed.image, {
      id: 'sha256:0f',
      repoTags: ['a/b:1'],
      platform: 'linux/amd64',
      sizeBytes: 12,
      diffIds: ['sha256:1f'],
      created: '2024-05-01T12:00:00Z',
      ...want,
    })
  })
}

const ID = `sha256:${'0f'.repeat(32)}`
const INDEX = { mediaType: `${OCI}.index.v1+json`, size: 7 }

// what the engine tells of an index, whether it can stand in metadata
const INDEXES: [string, object, boolean][] = [
  ['all', {}, true],
  ['no size', { size: null }, false],
  ['a size below 0', { size: -1 }, false],
  ['half a byte', { size: 0.5 }, false],
  ['a media type of another form', { mediaType: `${INDEX.mediaType}; a=b` }, false],
]

for (const [what, other, isKept] of INDEXES) {
  t.test(`parseInspection: an index of which is told: ${what}`, async (t) => {
    const told = { ...DOCKER_20, Id: ID, Descriptor: { ...INDEX, ...other } }
    const { image, isIndex } = parseInspection(JSON.stringify([told]))
    t.ok(isIndex)
    const { mediaType, size: sizeBytes } = INDEX
    t.strictSame(image.index, isKept ? { mediaType, digest: ID, sizeBytes } : undefined)
  })
}
