import t from 'tap'

import { readImages } from '../../../lib/image/docker-archive.ts'
import { dockerArchive } from '../../fixtures/archive-builder.ts'
import type { Layout } from '../../fixtures/archive-layouts.ts'
import { sha256 } from '../../fixtures/digest.ts'
import { digest } from '../../fixtures/digested-tar.ts'
import { json, OCI, ociImage, ociIndex, ociTar, type Descriptor } from '../../fixtures/oci-tar.ts'
import { tar, type TarEntry } from '../../fixtures/tar-builder.ts'

const NAME = 'io.containerd.image.name'
const REF = 'org.opencontainers.image.ref.name'
const mediaType = `${OCI}.layer.v1.tar`
const image = (content: string, architecture?: string) => {
  const blob = tar([{ path: content, content }])
  return ociImage([{ blob, diffId: sha256(blob), mediaType }], architecture)
}
const own = image('own')
const other = image('other')
const arm64 = image('own', 'arm64')
const named = (descriptor: Descriptor, annotations: object): Descriptor => ({
  ...descriptor,
  annotations,
})
const indexOver = (...over: Descriptor[]) => {
  const blob = ociIndex(over)
  return { blob, descriptor: { mediaType: `${OCI}.index.v1+json`, digest: sha256(blob), size: 1 } }
}
const blobs = [...own.blobs, ...other.blobs, ...arm64.blobs]

/** Reads `tool:1.0`, which index.json may say otherwise of. */
const read = (top: Descriptor[], more: Buffer[] = [], members: TarEntry[] = []) =>
  readImages(digest(ociTar(own, top, [...blobs, ...more], members)).tar)

const platforms = indexOver(arm64.descriptor, own.descriptor)
const nested = indexOver(platforms.descriptor)
// An engine would take the first of them.
const two = indexOver(other.descriptor, own.descriptor)
const within = indexOver(arm64.descriptor, two.descriptor)
const round = indexOver({ ...own.descriptor, digest: sha256('none') })

// what, the annotations
const GIVEN: [string, object][] = [
  ['none', {}],
  ['the name', { [NAME]: 'tool:1.0' }],
  ['the name in full', { [NAME]: 'docker.io/library/tool:1.0', [REF]: '1.0' }],
  ['the tag alone', { [REF]: '1.0' }],
  ['the name as reference', { [REF]: 'docker.io/library/tool:1.0' }],
  ['another annotation', { 'org.example.name': 'else:1.0' }],
]

for (const [what, annotations] of GIVEN) {
  t.test(`checkNames: index.json gives ${what}`, async (t) => {
    for (const { descriptor } of [own, platforms, nested]) {
      const got = read([named(descriptor, annotations)], [platforms.blob, nested.blob])
      t.match(got, [{ repoTags: ['tool:1.0'] }])
    }
  })
}

t.test('checkNames: a name may have the digest of what it names', async (t) => {
  const { digest: of } = own.descriptor
  for (const name of [`moby-dangling@${of}`, `tool@${of}`, `tool:1.0@${of}`]) {
    t.equal(read([named(own.descriptor, { [NAME]: name })]).length, 1, name)
  }
})

// what, index.json's entries, what the error says
const REFUSED: [string, Descriptor[], RegExp][] = [
  [
    'another name',
    [own.descriptor, named(own.descriptor, { [NAME]: 'docker.io/library/else:1.0' })],
    /"index.json" names "docker.io\/library\/else:1.0", which manifest.json does not/,
  ],
  ['another tag', [named(own.descriptor, { [REF]: '2.0' })], /names "2.0"/],
  ['another reference', [named(own.descriptor, { [REF]: 'else:1.0' })], /names "else:1.0"/],
  [
    'another registry',
    [named(own.descriptor, { [NAME]: 'localhost/tool:1.0' })],
    /names "localhost\/tool:1.0"/,
  ],
  [
    'another digest',
    [named(own.descriptor, { [NAME]: `tool:1.0@${sha256('x')}` })],
    /names "tool:1.0@sha256:/,
  ],
  [
    'the name to another image',
    [named(other.descriptor, { [NAME]: 'tool:1.0' })],
    /gives "tool:1.0" to sha256:.{64}, which is not its image/,
  ],
  ['the tag to another image', [named(other.descriptor, { [REF]: '1.0' })], /gives "1.0" to/],
  [
    'the name to what is not in the tar',
    [named({ ...own.descriptor, digest: sha256('none') }, { [NAME]: 'tool:1.0' })],
    /gives "tool:1.0" to/,
  ],
  ['the name to an index of two', [named(two.descriptor, { [NAME]: 'tool:1.0' })], /gives/],
  ['the name to an index over one of two', [named(within.descriptor, { [REF]: '1.0' })], /gives/],
  ['the name to an index of nothing', [named(round.descriptor, { [NAME]: 'tool:1.0' })], /gives/],
]

for (const [what, top, message] of REFUSED) {
  t.test(`checkNames: index.json that gives ${what} is refused`, async (t) => {
    t.throws(() => read(top, [round.blob, two.blob, within.blob]), { code: 'BAD_IMAGE', message })
  })
}

/** Reads an image with a member changed. */
function readWith(layout: Layout, path: string, content: string): number {
  const edit = (entries: TarEntry[]): TarEntry[] => [
    ...entries.filter((entry) => entry.path !== path),
    { path, content },
  ]
  const layers = [tar([{ path: 'a' }])]
  const tags = ['tool:1.0', 'registry.example:5000/tool:2.0']
  return readImages(digest(dockerArchive({ layers, tags, layout, edit }).archive).tar).length
}

// a member, its content, what the error says
const UNREADABLE: [string, string, RegExp][] = [
  ['index.json', '', /read "index.json" of the image: /],
  ['index.json', '{', /read "index.json" of the image: /],
  ['index.json', ' {"manifests":[]}', /read "index.json" of the image: /],
  ['index.json', '{"manifests":[{}]}', /manifests.0.digest: /],
  ['index.json', `{"a":"${' '.repeat(9 * 1024 * 1024)}"}`, /read "index.json" of the image: /],
  ['index.json', `{"manifests":[${'{},'.repeat(10_000)}{}]}`, /entries of indexes: got 10001/],
  ['repositories', '', /read "repositories" of the image: /],
  ['repositories', '{"tool":"1.0"}', /read "repositories" of the image: tool: /],
  ['repositories', '{"else":{"1.0":"x"}}', /"repositories" names "else:1.0"/],
  ['repositories', '{"tool":{"1.0":"x","2.0":"x"}}', /"repositories" names "tool:2.0"/],
]

for (const [path, content, message] of UNREADABLE) {
  t.test(`checkNames: ${path}: ${content.slice(0, 30)}: is refused`, async (t) => {
    for (const layout of ['oci', 'legacy'] as const) {
      t.throws(() => readWith(layout, path, content), { code: 'BAD_IMAGE', message })
    }
  })
}

t.test('checkNames: repositories may have less, and names in full', async (t) => {
  for (const content of [
    '{}',
    '{"tool":null}',
    '{"docker.io/library/tool":{"1.0":"x"},"registry.example:5000/tool":{"2.0":"x"}}',
  ]) {
    t.equal(readWith('legacy', 'repositories', content), 1)
  }
})

t.test('checkNames: indexes within indexes without end take no time', async (t) => {
  // Each names the one before it, and the whole image: all together many steps.
  let last = indexOver(own.descriptor)
  const chain = [last]
  for (let n = 0; n < 3000; n++) chain.push((last = indexOver(last.descriptor)))
  const top = chain.map(({ descriptor }) => named(descriptor, { [NAME]: 'tool:1.0' }))
  t.throws(
    () =>
      read(
        top,
        chain.map(({ blob }) => blob),
      ),
    {
      code: 'BAD_IMAGE',
      message: /steps from index to index: got 200001, want at most 200000/,
    },
  )
})

t.test('checkNames: a blob of millions of parts is refused, or is none', async (t) => {
  const many = ',[]'.repeat(1_000_000)
  t.equal(read([own.descriptor], [Buffer.from(`[1${many}]`)]).length, 1)
  t.throws(() => read([own.descriptor], [Buffer.from(`{"manifests":[1${many}]}`)]), {
    code: 'BAD_IMAGE',
    message: /got more than 500000 brackets and colons/,
  })
})

t.test('checkNames: more entries than there may be, in all indexes together', async (t) => {
  const half = Array.from({ length: 5001 }, () => own.descriptor)
  const indexes = [json({ manifests: half }), json({ manifests: half, more: 1 })]
  t.throws(() => read([own.descriptor], indexes), {
    code: 'BAD_IMAGE',
    message: 'check image: entries of indexes: got 10002, want at most 10000',
  })
  const layers = json({ config: own.descriptor, layers: Array.from({ length: 1001 }, () => 1) })
  t.throws(() => read([own.descriptor], [layers]), {
    message: 'check image: layers: got 1001, want at most 1000',
  })
})

const folded = { ...other.descriptor, annotations: {} }
// what, a blob that readers of other letters take for another
const FOLDED: [string, string][] = [
  ['an index', JSON.stringify({ manifests: [own.descriptor], Manifests: [folded] })],
  ['a manifest', `${own.manifest.toString().slice(0, -1)},"Config":${JSON.stringify(folded)}}`],
]

for (const [what, blob] of FOLDED) {
  t.test(`readImages: ${what} among the blobs with a key in another case is refused`, async (t) => {
    t.throws(() => read([own.descriptor], [Buffer.from(blob)]), {
      code: 'BAD_IMAGE',
      message: /is there twice, or in another case/,
    })
  })
}
