import t from 'tap'

import { containerdStore } from '../../../lib/engine/containerd-store.ts'
import type { Engine } from '../../../lib/engine/engine.ts'
import { graphDriverStore } from '../../../lib/engine/graph-driver-store.ts'
import { hasLayers } from '../../../lib/engine/image-store.ts'
import { toDigest } from '../../../lib/image/digest.ts'
import type { StoredImage } from '../../../lib/image/source.ts'
import type { ComparedImage } from '../../../lib/image/source.ts'

const LEGACY: ComparedImage = {
  repoTags: [],
  platform: 'linux/amd64',
  created: '2024-05-01T12:00:00Z',
  config: { digest: 'sha256:config' },
  manifests: [],
  layers: [toDigest('base'), toDigest('top')].map((diffId) => {
    return { digest: diffId, sizeBytes: 1, diffId }
  }),
  settings: 'of the config',
}
const MANIFESTS = {
  index: { digest: toDigest('manifest') },
  manifests: [{ digest: toDigest('manifest2') }],
}
const ARCHIVED: ComparedImage = { ...LEGACY, ...MANIFESTS }
const LAYERS = ['sha256:base', 'sha256:top']
const GRAPH_DRIVER: Engine = {
  name: 'docker',
  store: graphDriverStore(true),
  savesPlatform: false,
  inspectsPlatform: false,
}
const CONTAINERD: Engine = { ...GRAPH_DRIVER, store: containerdStore(true) }
const OWN: StoredImage = {
  ...LEGACY,
  id: 'sha256:other',
  manifestDigest: 'sha256:other',
  diffIds: LAYERS,
  sizeBytes: 1,
  settings: 'of the config',
}

// the engine's ID of it, its layers, whether they are the same by config, in a containerd store
const IMAGES: [string, string[], boolean, boolean][] = [
  ['sha256:config', LAYERS, true, true],
  ['sha256:config', ['sha256:other'], true, false],
  ['sha256:manifest', LAYERS, false, true],
  ['sha256:manifest2', LAYERS, false, true],
  // An index that has another platform too.
  ['sha256:manifest', ['sha256:other'], false, false],
  ['sha256:other', LAYERS, false, false],
  ['sha256:other', LAYERS.toReversed(), false, false],
]

for (const [id, diffIds, byConfig, byManifest] of IMAGES) {
  t.test(`isSame: ${id} with layers ${diffIds.join()}`, async (t) => {
    const own: StoredImage = { ...OWN, id, manifestDigest: id, diffIds }
    t.equal(GRAPH_DRIVER.store.isSame(own, ARCHIVED), byConfig)
    t.equal(CONTAINERD.store.isSame(own, ARCHIVED), byManifest)
    t.equal(GRAPH_DRIVER.store.mayBeSame(own, ARCHIVED), byConfig)
    t.equal(CONTAINERD.store.mayBeSame(own, ARCHIVED), hasLayers(ARCHIVED, diffIds))
  })
}

// what is other in the archive or in the engine, whether the image is the same in a containerd store
type Change<T> = { readonly [Key in keyof T]?: T[Key] | undefined }
const DIFFERENCES: [string, Change<ComparedImage>, Change<StoredImage>, boolean | undefined][] = [
  ['nothing, without a manifest', {}, {}, true],
  ['the settings, at the same time', {}, { settings: 'others' }, false],
  ['the settings in the archive not read', { settings: undefined }, {}, undefined],
  ['the settings of the engine not told', {}, { settings: undefined }, undefined],
  ['the time', {}, { created: '2024-05-01T12:00:01Z' }, false],
  ['the time in another form', {}, { created: '2024-05-01T14:00:00.000000+02:00' }, true],
  ['the time not told', { created: undefined }, {}, true],
  ['the manifest', MANIFESTS, {}, false],
  ['the manifest, recompressed', { ...MANIFESTS, recompressed: true }, {}, true],
  ['the index only', MANIFESTS, { manifestDigest: 'sha256:manifest' }, true],
  ['one platform of an index', MANIFESTS, { id: 'sha256:manifest', manifestDigest: 'x' }, false],
  // As before Docker 28.1, which tells the index only.
  ['one of an index, not told', MANIFESTS, { manifestDigest: undefined }, true],
  [
    'one of an index, not told, and settings',
    MANIFESTS,
    { manifestDigest: undefined, settings: 'others' },
    false,
  ],
  ['the platform', { platform: 'linux/arm64' }, {}, false],
  ['the variant, which the engine does not tell', { platform: 'linux/amd64/v2' }, {}, true],
]

for (const [what, archived, own, same] of DIFFERENCES) {
  t.test(`isSame: another ${what}`, async (t) => {
    t.equal(CONTAINERD.store.isSame(change(OWN, own), change(LEGACY, archived)), same)
  })
}

t.test('isSame: an engine that tells no manifests is believed its config only', async (t) => {
  const nerdctl: Engine = { ...CONTAINERD, name: 'nerdctl', store: containerdStore(false) }
  const own = change(OWN, { manifestDigest: undefined })
  t.equal(nerdctl.store.isSame({ ...own, id: 'sha256:config' }, ARCHIVED), true)
  t.equal(nerdctl.store.isSame(own, ARCHIVED), undefined)
})

t.test('hasLayers: all of them, in their order, and no more', async (t) => {
  t.equal(hasLayers(ARCHIVED, LAYERS), true)
  t.equal(hasLayers(ARCHIVED, LAYERS.slice(0, 1)), false)
  t.equal(hasLayers(ARCHIVED, [...LAYERS, 'sha256:more']), false)
  t.equal(hasLayers(ARCHIVED, []), false)
})

// What becomes undefined goes.
function change<T extends object>(image: T, changes: Change<T>): T {
  const changed: T = Object.assign(structuredClone(image), changes)
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) Reflect.deleteProperty(changed, key)
  }
  return changed
}
