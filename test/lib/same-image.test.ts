import t from 'tap'

import type { ArchivedImage } from '../../lib/docker-archive.ts'
import type { Engine, EngineImage } from '../../lib/engine.ts'
import { hasLayers, isSameImage } from '../../lib/same-image.ts'

const ARCHIVED: ArchivedImage = {
  repoTags: [],
  platform: 'linux/amd64',
  configDigest: 'sha256:config',
  manifestDigests: ['sha256:manifest', 'sha256:manifest2'],
  layers: ['sha256:base', 'sha256:top'].map((diffId) => ({ diffId, sizeBytes: 1 })),
}
const LAYERS = ['sha256:base', 'sha256:top']

// the engine's ID of it, its layers, whether they are the same by config, by manifest
const IMAGES: [string, string[], boolean, boolean][] = [
  ['sha256:config', LAYERS, true, true],
  ['sha256:config', ['sha256:other'], true, false],
  ['sha256:manifest', ['sha256:other'], false, true],
  ['sha256:manifest2', ['sha256:other'], false, true],
  ['sha256:other', LAYERS, false, true],
  ['sha256:other', LAYERS.toReversed(), false, false],
]

for (const [id, diffIds, byConfig, byManifest] of IMAGES) {
  t.test(`isSameImage: ${id} with layers ${diffIds.join()}`, async (t) => {
    const own: EngineImage = { ...ARCHIVED, id, diffIds, sizeBytes: 1 }
    const engine: Engine = { name: 'docker', idIsConfig: true, savesPlatform: false }
    t.equal(isSameImage(engine, own, ARCHIVED), byConfig)
    t.equal(isSameImage({ ...engine, idIsConfig: false }, own, ARCHIVED), byManifest)
  })
}

t.test('hasLayers: all of them, in their order, and no more', async (t) => {
  t.equal(hasLayers(ARCHIVED, LAYERS), true)
  t.equal(hasLayers(ARCHIVED, LAYERS.slice(0, 1)), false)
  t.equal(hasLayers(ARCHIVED, [...LAYERS, 'sha256:more']), false)
  t.equal(hasLayers(ARCHIVED, []), false)
})
