import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

import { containerdStore } from '../../../lib/engine/containerd-store.ts'
import { watchLayers } from '../../../lib/engine/existing-layers.ts'
import { checkLoaded, lookUpImages, tagLoaded } from '../../../lib/engine/tags.ts'
import { toDigest } from '../../../lib/image/digest.ts'
import type { ArchivedImage } from '../../../lib/image/docker-archive.ts'
import { formatSettings } from '../../../lib/image/settings.ts'
import { GRAPH } from '../../fixtures/graph-engine.ts'
import { useScripts } from '../../fixtures/programs-on-path.ts'

const image = (id: string, ...repoTags: string[]): ArchivedImage => {
  const config = { digest: toDigest(id) }
  return { config, repoTags, platform: 'linux/amd64', manifests: [], layers: [] }
}

const CONTAINERD = { ...GRAPH, store: containerdStore(true) }
const LAYER = { digest: toDigest('layer'), sizeBytes: 1, diffId: toDigest('layer') }

// what the engine has by that tag, the error
const LOADED: [string, typeof GRAPH, string, RegExp | undefined][] = [
  ['it', GRAPH, inspected('sha256:1', LAYER.diffId), undefined],
  ['it, under an ID of its own making', CONTAINERD, inspected('sha256:2', LAYER.diffId), undefined],
  ['nothing', GRAPH, '', /does not have it after the load$/],
  [
    'another image',
    GRAPH,
    inspected('sha256:2', LAYER.diffId),
    /^check ID of "a:1" as loaded: got sha256:2, want sha256:1$/,
  ],
  [
    'other layers',
    CONTAINERD,
    inspected('sha256:2', 'sha256:other'),
    /^check layers of "a:1" as loaded: got sha256:other, want sha256:layer$/,
  ],
]

for (const [what, engine, json, message] of LOADED) {
  t.test(`checkLoaded: the engine has ${what}`, async (t) => {
    const none = 'echo No such image: a:1 >&2; exit 1'
    await useScripts(t, { docker: json === '' ? none : `echo '${json}'` })
    const read = { ...image('1', 'a:1'), layers: [LAYER], settings: formatSettings({}) }
    const { settings: _, ...archived } = read
    const checked = checkLoaded(engine, archived, [], async () => [read])
    if (message) await t.rejects(checked, { code: 'MISMATCH', message })
    else t.strictSame(await checked, [])
  })
}

t.test('checkLoaded: other settings are told, of an image that was just loaded', async (t) => {
  const json = inspected('sha256:2', LAYER.diffId).replace('{}', '{"Env":["A=1"]}')
  await useScripts(t, { docker: `echo '${json}'` })
  const archived = { ...image('1', 'a:1'), layers: [LAYER], settings: formatSettings({}) }
  const notes = await checkLoaded(CONTAINERD, archived, [], async () => [archived])
  t.strictSame(notes, ['the engine tells other settings of a:1 than the archive has'])
})

t.test('tagLoaded: no tag is set where one of the images is not there', async (t) => {
  const log = join(t.testdir(), 'log')
  await useScripts(t, {
    docker: `
echo "$*" >>'${log}'
case "$*" in
  tag*) ;;
  *--all*) echo sha256:1 ;;
  *RootFS*) echo '["${LAYER.diffId}"]' ;;
  *sha256:1) echo '${inspected('sha256:1', LAYER.diffId)}' ;;
  *) echo No such image >&2; exit 1 ;;
esac`,
  })
  const existing = watchLayers(GRAPH)
  let verified = 0
  const verify = async () => void verified++
  const options = { existing, dryRun: false, readImages: async () => [], verify }
  const layers = [LAYER]
  const here = { ...image('1', 'a:1'), layers }
  const known = await lookUpImages(GRAPH, [here, { ...image('2', 'b:1'), layers }])
  t.equal(await tagLoaded(GRAPH, known, options), undefined)
  t.equal(verified, 0)
  t.notMatch(readFileSync(log, 'utf8'), /^tag/m)
  const only = known.slice(0, 1)
  t.strictSame(await tagLoaded(GRAPH, only, { ...options, dryRun: true }), ['a:1 would be set'])
  t.notMatch(readFileSync(log, 'utf8'), /^tag/m)
  const refuse = async () => Promise.reject(new Error('not what was hashed'))
  for (const dryRun of [true, false]) {
    const refused = tagLoaded(GRAPH, only, { ...options, dryRun, verify: refuse })
    await t.rejects(refused, { message: 'not what was hashed' })
  }
  t.notMatch(readFileSync(log, 'utf8'), /^tag/m)
  t.strictSame(await tagLoaded(GRAPH, only, options), [])
  t.match(readFileSync(log, 'utf8'), /^tag -- sha256:1 a:1$/m)
})

function inspected(id: string, layer: string): string {
  const rootFs = { Layers: [layer] }
  const config = { Id: id, Os: 'linux', Architecture: 'amd64', Config: {}, RootFS: rootFs }
  return JSON.stringify([config])
}
