import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'

import { containerdStore } from '../../../lib/engine/containerd-store.ts'
import { imageChains, watchLayers } from '../../../lib/engine/existing-layers.ts'
import { chainIds } from '../../../lib/image/chain-id.ts'
import type { Digest } from '../../../lib/image/digest.ts'
import type { ArchivedImage } from '../../../lib/image/docker-archive.ts'
import { sha256 } from '../../fixtures/digest.ts'
import { GRAPH } from '../../fixtures/graph-engine.ts'
import { useScripts } from '../../fixtures/programs-on-path.ts'

const BASE = sha256('base')
const TOP = sha256('top')
const OTHER = sha256('other')

const image = (...diffIds: Digest[]): ArchivedImage => ({
  config: { digest: sha256(Buffer.from(diffIds.join())) },
  manifests: [],
  repoTags: [],
  platform: 'linux/amd64',
  layers: diffIds.map((diffId) => ({ digest: diffId, sizeBytes: 1, diffId })),
})

t.test('imageChains: all layers of all images', async (t) => {
  t.strictSame(imageChains([image(BASE, TOP), image(OTHER), image()]), [
    ...chainIds([BASE, TOP]),
    OTHER,
  ])
})

/** An engine of one image, told of in `layers`; how often it was asked is in `asked`. */
async function useEngine(t: Test, more = ''): Promise<string> {
  const dir = t.testdir({ layers: `["${BASE}"]`, asked: '' })
  await useScripts(t, {
    docker: `
      case "$2" in
      ls) echo >>'${dir}/asked'; echo sha256:1 ;;
      inspect) read -r line <'${dir}/layers'; echo "$line" ;;
      esac
      ${more.replaceAll('DIR', dir)}`,
  })
  return dir
}

const countAsked = async (dir: string): Promise<number> =>
  (await readFile(join(dir, 'asked'), 'utf8')).length

t.test('watchLayers: asks once, adds what is loaded, and asks again', async (t) => {
  const dir = await useEngine(t)
  const present = watchLayers(GRAPH)
  present.add([image(OTHER)])
  t.strictSame([...(await present.list())], [BASE], 'it answers for what was before')
  present.add([image(BASE, TOP)])
  t.strictSame([...(await present.list())], chainIds([BASE, TOP]))
  t.equal(await countAsked(dir), 1)
  present.forget()
  t.strictSame([...(await present.list())], [BASE])
  t.equal(await countAsked(dir), 2)
})

t.test('watchLayers: what is loaded while it is asked counts', async (t) => {
  const dir = await useEngine(t)
  const present = watchLayers(GRAPH)
  const asking = [present.list(), present.list()]
  present.add([image(BASE, TOP)])
  await Promise.all(asking)
  t.strictSame([...(await present.list())], chainIds([BASE, TOP]))
  t.equal(await countAsked(dir), 1)
})

t.test('watchLayers: an engine that did not answer is asked again', async (t) => {
  const dir = await useEngine(t, '[ -e DIR/well ] || exit 1')
  const present = watchLayers(GRAPH)
  const asking = present.list()
  present.add([image(OTHER)])
  await t.rejects(asking, { code: 'ENGINE_FAILED' })
  await writeFile(join(dir, 'well'), '')
  t.strictSame([...(await present.list())], [BASE])
})

t.test('watchLayers: an engine that takes no parts is never said to have any', async (t) => {
  const present = watchLayers({ ...GRAPH, store: containerdStore(true) })
  t.strictSame([...(await present.list())], [])
  present.add([image(BASE)])
  t.strictSame([...(await present.list())], [])
})
