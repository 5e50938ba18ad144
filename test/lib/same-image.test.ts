import t from 'tap'

import type { ArchivedImage } from '../../lib/docker-archive.ts'
import type { EngineImage } from '../../lib/engine-image.ts'
import type { Engine } from '../../lib/engine.ts'
import { compareImage, hasLayers, isOtherImage, isSameImage } from '../../lib/same-image.ts'

const ARCHIVED: ArchivedImage = {
  repoTags: [],
  platform: 'linux/amd64',
  configDigest: 'sha256:config',
  manifestDigests: ['sha256:manifest', 'sha256:manifest2'],
  layers: ['sha256:base', 'sha256:top'].map((diffId) => ({ diffId, sizeBytes: 1 })),
}
const LAYERS = ['sha256:base', 'sha256:top']
const GRAPH_DRIVER: Engine = {
  name: 'docker',
  idIsConfig: true,
  savesPlatform: false,
  inspectsPlatform: false,
}
const CONTAINERD: Engine = { ...GRAPH_DRIVER, idIsConfig: false }

// the engine's ID of it, its layers, whether they are the same by config, in a containerd store
const IMAGES: [string, string[], boolean, boolean | undefined][] = [
  ['sha256:config', LAYERS, true, undefined],
  ['sha256:config', ['sha256:other'], true, false],
  ['sha256:manifest', LAYERS, false, true],
  ['sha256:manifest2', LAYERS, false, true],
  // An index that has another platform too.
  ['sha256:manifest', ['sha256:other'], false, false],
  ['sha256:other', LAYERS, false, undefined],
  ['sha256:other', LAYERS.toReversed(), false, false],
]

for (const [id, diffIds, byConfig, byManifest] of IMAGES) {
  t.test(`compareImage: ${id} with layers ${diffIds.join()}`, async (t) => {
    const own: EngineImage = { ...ARCHIVED, id, diffIds, sizeBytes: 1 }
    t.equal(compareImage(GRAPH_DRIVER, own, ARCHIVED), byConfig)
    t.equal(compareImage(CONTAINERD, own, ARCHIVED), byManifest)
    t.equal(isSameImage(CONTAINERD, own, ARCHIVED), byManifest === true)
    t.equal(isOtherImage(CONTAINERD, own, ARCHIVED), byManifest === false)
  })
}

// when the engine's image was built, when the archive's was, whether that is the same
const TIMES: [string | undefined, string | undefined, boolean | undefined][] = [
  ['2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z', true],
  ['2024-05-01T12:00:00.5Z', '2024-05-01T12:00:00.500000000Z', true],
  ['2024-05-01T12:00:00Z', '2024-05-01T14:00:00+02:00', true],
  ['2024-05-01T12:00:00Z', '2024-05-01T12:00:01Z', false],
  [undefined, '2024-05-01T12:00:00Z', undefined],
  ['2024-05-01T12:00:00Z', undefined, undefined],
  // As builders have it that give every image the same.
  ['1970-01-01T00:00:00Z', '1970-01-01T00:00:00Z', undefined],
  ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00Z', undefined],
]

for (const [built, archived, same] of TIMES) {
  t.test(`compareImage: built ${built}, archived as of ${archived}`, async (t) => {
    const at = (created: string | undefined) => (created === undefined ? {} : { created })
    const own = { ...ARCHIVED, id: 'sha256:other', diffIds: LAYERS, sizeBytes: 1, ...at(built) }
    const image = { ...ARCHIVED, ...at(archived) }
    t.equal(compareImage(CONTAINERD, own, image), same)
    t.equal(compareImage(CONTAINERD, { ...own, manifestDigest: 'sha256:manifest' }, image), true)
  })
}

t.test('hasLayers: all of them, in their order, and no more', async (t) => {
  t.equal(hasLayers(ARCHIVED, LAYERS), true)
  t.equal(hasLayers(ARCHIVED, LAYERS.slice(0, 1)), false)
  t.equal(hasLayers(ARCHIVED, [...LAYERS, 'sha256:more']), false)
  t.equal(hasLayers(ARCHIVED, []), false)
})
