import t from 'tap'

import { notePlatform } from '../../../../lib/commands/load/load.ts'
import { areIndependent } from '../../../../lib/commands/load/queue.ts'
import { EngineSink } from '../../../../lib/engine/sink.ts'
import { toDigest } from '../../../../lib/image/digest.ts'
import type { ArchivedImage } from '../../../../lib/image/docker-archive.ts'
import { GRAPH } from '../../../fixtures/graph-engine.ts'

const image = (id: string, ...repoTags: string[]): ArchivedImage => {
  const config = { digest: toDigest(id) }
  return { config, repoTags, platform: 'linux/amd64', manifests: [], layers: [] }
}

// what the images are, whether they are apart from image 1, tagged a:1
const IMAGES: [string, ReturnType<typeof image>[], boolean][] = [
  ['none', [], true],
  ['another one', [image('2', 'b:1')], true],
  ['one without a tag', [image('2')], true],
  ['the same under another name', [image('1', 'b:1')], false],
  ['another of the same name', [image('2', 'b:1', 'a:1')], false],
  ['one of several', [image('2'), image('1')], false],
]

for (const [name, images, want] of IMAGES) {
  t.test(`areIndependent: ${name}`, async (t) => {
    t.equal(areIndependent(images, [image('1', 'a:1')]), want)
    t.equal(areIndependent([image('1', 'a:1')], images), want)
  })
}

t.test('notePlatform: another than the machine of the sink', async (t) => {
  const of = (...platforms: string[]) => platforms.map((platform) => ({ ...image('1'), platform }))
  const amd64 = { platform: 'linux/amd64' }
  t.strictSame(notePlatform(amd64, of('linux/amd64', 'linux/amd64/v2', '')), [])
  t.strictSame(notePlatform(amd64, of('linux/arm64/v8', 'linux/arm64/v8')), [
    'it is for linux/arm64/v8, this machine is linux/amd64',
  ])
  const own = `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`
  t.strictSame(notePlatform(new EngineSink(GRAPH), of(own, 'linux/s390x')), [
    `it is for linux/s390x, this machine is ${own}`,
  ])
  t.strictSame(notePlatform({ platform: undefined }, of('linux/s390x')), [], 'it takes any')
})
