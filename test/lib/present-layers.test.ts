import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { chainIds } from '../../lib/chain-id.ts'
import type { ArchivedImage } from '../../lib/docker-archive.ts'
import type { Engine } from '../../lib/engine.ts'
import { imageChains, watchLayers } from '../../lib/present-layers.ts'
import { wrapCommand } from '../fixtures/faults.ts'
import { sha256 } from '../fixtures/digest.ts'

const GRAPH: Engine = {
  name: 'docker',
  idIsConfig: true,
  savesPlatform: false,
  inspectsPlatform: false,
}
const [BASE = '', TOP = '', OTHER = ''] = ['base', 'top', 'other'].map((each) =>
  sha256(Buffer.from(each)),
)

const image = (...diffIds: string[]): ArchivedImage => ({
  configDigest: sha256(Buffer.from(diffIds.join())),
  manifestDigests: [],
  repoTags: [],
  platform: 'linux/amd64',
  layers: diffIds.map((diffId) => ({ diffId, member: diffId, sizeBytes: 1 })),
})

t.test('imageChains: all layers of all images', async (t) => {
  t.strictSame(imageChains([image(BASE, TOP), image(OTHER), image()]), [
    ...chainIds([BASE, TOP]),
    OTHER,
  ])
})

t.test('watchLayers: asks once, adds what is loaded, and asks again', async (t) => {
  const dir = t.testdir()
  const asked = join(dir, 'asked')
  const client = `
    echo "$2" >>'${asked}'
    case "$2" in ls) echo sha256:1 ;; inspect) echo '["${BASE}"]' ;; esac`
  const { PATH } = process.env
  t.teardown(() => Object.assign(process.env, { PATH }))
  Object.assign(process.env, await wrapCommand(join(dir, 'bin'), 'docker', client))
  const present = watchLayers(GRAPH)
  present.add([image(OTHER)])
  t.strictSame(
    [...(await present.list())],
    [BASE],
    'what came before the question is in its answer',
  )
  present.add([image(BASE, TOP)])
  t.strictSame([...(await present.list())], chainIds([BASE, TOP]))
  t.equal(await readFile(asked, 'utf8'), 'ls\ninspect\n')
  present.forget()
  t.strictSame([...(await present.list())], [BASE])
  t.equal(await readFile(asked, 'utf8'), 'ls\ninspect\n'.repeat(2))
})

t.test('watchLayers: an engine that takes no parts is not asked', async (t) => {
  const present = watchLayers({ ...GRAPH, idIsConfig: false })
  t.strictSame([...(await present.list())], [])
})
