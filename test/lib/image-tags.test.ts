import t from 'tap'

import { areApart } from '../../lib/image-tags.ts'

const image = (id: string, ...repoTags: string[]) => {
  const configDigest = `sha256:${id}`
  return { configDigest, repoTags, platform: 'linux/amd64', manifestDigests: [], layers: [] }
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
  t.test(`areApart: ${name}`, async (t) => {
    t.equal(areApart(images, [image('1', 'a:1')]), want)
    t.equal(areApart([image('1', 'a:1')], images), want)
  })
}
