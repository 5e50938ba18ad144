import t from 'tap'

import { containerdStore } from '../../../lib/engine/containerd-store.ts'
import { graphDriverStore } from '../../../lib/engine/graph-driver-store.ts'
import { checkSaid, createListener, MAX_LINE_LENGTH } from '../../../lib/engine/said.ts'
import { manifestDigests } from '../../../lib/image/descriptor.ts'
import { sha256 } from '../../fixtures/digest.ts'

/** Hears a text in pieces of so many characters. */
function hear(text: string, length = text.length) {
  const { hear: write, said } = createListener()
  for (let at = 0; at < text.length; at += length) write(text.slice(at, at + length))
  return said()
}

const ID = sha256('config')

// what an engine printed, the names in it
const PRINTED: [string, string[]][] = [
  ['', []],
  ['Loaded image: a:1\n', ['a:1']],
  ['Loaded image: a:1', ['a:1']],
  ['abc: Loading layer  [==>]  1kB/2kB\r\nLoaded image: a:1\nLoaded image: b:1\n', ['a:1', 'b:1']],
  [`Loaded image ID: ${ID}\n`, [ID]],
  ['Loaded image(s): localhost/a:1, localhost/b:1\n', ['localhost/a:1', 'localhost/b:1']],
  ['unpacking docker.io/library/a:1 (sha256:0f)...\nLoaded image: a:1\n', ['a:1']],
  ['The image a:1 already exists, Loaded image: b:1\n', []],
]

for (const [text, loaded] of PRINTED) {
  t.test(`createListener: ${JSON.stringify(text)}`, async (t) => {
    for (const length of [1, 7, 1000]) {
      t.strictSame(hear(text, length), { loaded, failure: undefined, isCut: false })
    }
  })
}

t.test('createListener: the first failure is kept, whatever follows', async (t) => {
  const text = `Error unpacking image a:1: oh\n${'Loaded image: a:1\n'.repeat(9000)}error b\n`
  const { failure, loaded, isCut } = hear(text, 65_536)
  t.equal(failure, 'Error unpacking image a:1: oh')
  t.equal(loaded.length, 9000)
  t.notOk(isCut)
})

t.test('createListener: neither lines nor names are kept without end', async (t) => {
  const many = hear('Loaded image: a:1\n'.repeat(10_001), 65_536)
  t.match(many, { isCut: true })
  t.equal(many.loaded.length, 10_000)
  const long = hear(`Loaded image: ${'a'.repeat(MAX_LINE_LENGTH)}\nLoaded image: b:1\n`, 65_536)
  t.match(long, { isCut: true })
  t.strictSame(
    long.loaded.map(({ length }) => length),
    [1024, 3],
  )
})

const IMAGE = {
  repoTags: ['registry.example:5000/tool:1.0', 'tool:latest'],
  config: { digest: ID },
  index: { digest: sha256('index') },
  manifests: [{ digest: sha256('manifest') }],
}
const CONTAINERD = { name: 'docker', store: containerdStore(true) }
const GRAPH = { name: 'docker', store: graphDriverStore(true) }
const PODMAN = { name: 'podman', store: graphDriverStore(false) }

const saying = (...loaded: string[]) => ({ loaded, failure: undefined, isCut: false })

// engine, what it says
const EXPECTED: [typeof GRAPH, string[]][] = [
  [GRAPH, []],
  [GRAPH, IMAGE.repoTags],
  [GRAPH, ['tool']],
  [GRAPH, [ID]],
  [CONTAINERD, ['docker.io/library/tool:latest', ...manifestDigests(IMAGE)]],
  [CONTAINERD, [`moby-dangling@${sha256('index')}`]],
  [PODMAN, ['localhost/tool:latest', 'docker.io/library/tool:latest', ID, ID.slice(7)]],
]

for (const [engine, loaded] of EXPECTED) {
  t.test(
    `checkSaid: ${engine.name}, partial tars ${engine.store.takesPartialTar}: ${loaded.join()}`,
    async (t) => {
      checkSaid(saying(...loaded), [IMAGE], engine, 'a')
      t.pass('it is what was to be loaded')
    },
  )
}

for (const [engine, said] of [
  [GRAPH, 'tool:1.0'],
  [GRAPH, 'registry.example/tool:1.0'],
  [GRAPH, ''],
  [GRAPH, sha256('index')],
  [GRAPH, sha256('other')],
  [CONTAINERD, sha256('other')],
  [PODMAN, 'localhost/else:1'],
] as const) {
  t.test(
    `checkSaid: ${engine.name}, partial tars ${engine.store.takesPartialTar}: not ${said}`,
    async (t) => {
      t.throws(() => checkSaid(saying('tool:latest', said), [IMAGE], engine, 'a.tar.xz'), {
        code: 'MISMATCH',
        message: `load "a.tar.xz": the engine says that it loaded "${said}", want registry.example`,
        hint: `${engine.name} image rm ${said}`,
      })
    },
  )
}

t.test('checkSaid: more than is kept is told', async (t) => {
  t.throws(() => checkSaid({ ...saying(), isCut: true }, [IMAGE], GRAPH, 'a'), {
    code: 'MISMATCH',
    message: /loaded more than can be kept/,
  })
})

t.test('checkSaid: an ID that only the store knows passes, a name does not', async (t) => {
  const image = { config: IMAGE.config, repoTags: [], manifests: [] }
  checkSaid(saying(sha256('made there')), [image], CONTAINERD, 'a')
  t.throws(() => checkSaid(saying('a:1'), [image], CONTAINERD, 'a'), /an image without a name/)
})
