// load_compressed_tars: which archives are loaded, which need not be, and what
// there is to tell afterwards.
import { cp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { dockerArchive } from '../fixtures/archive-builder.ts'
import { buildImage } from '../fixtures/sample-images.ts'
import { dataLayer, GREETING } from '../fixtures/sample-layers.ts'
import { tar } from '../fixtures/tar-builder.ts'
import { archiveOf, setUp } from '../fixtures/workbench.ts'

const bench = await setUp(t)
const { docker } = bench.engine
const build = (name: string) =>
  buildImage(bench.engine, bench.registry, { name, layers: [[GREETING], [{ path: name }]] })
const one = await build('one:1.0')
const two = await build('two:1.0')
const both = [one.reference, two.reference]
const carry = t.testdir()
await bench.ask('save_compressed_tars', carry, ...both)

const load = (...args: string[]) => bench.ask('load_compressed_tars', carry, ...args)
const tags = async () =>
  (await docker('image', 'ls', '--format', '{{.Repository}}:{{.Tag}}')).split('\n').toSorted()
const inspect = (reference: string) => docker('image', 'inspect', '--format', '{{.Id}}', reference)
t.beforeEach(() => bench.removeImages())

t.test('what: without a list every archive of the directory', async (t) => {
  t.match(
    await load(),
    both.map(() => ({ result: 'loaded', notes: [] })),
  )
  t.strictSame(await tags(), both)
})

t.test('what: images and archives that are named, and no others', async (t) => {
  for (const name of [two.reference, archiveOf(two), join(carry, archiveOf(two))]) {
    await bench.removeImages()
    t.match(await load(name), [{ archive: archiveOf(two), result: 'loaded' }])
    t.strictSame(await tags(), [two.reference], name)
  }
})

t.test('what: the images of a list, of another directory', async (t) => {
  const here = t.testdir({ list: two.reference })
  const args = ['--list', 'list', '--dir', carry]
  t.match(await bench.ask('load_compressed_tars', here, ...args), [{ image: two.reference }])
  t.strictSame(await tags(), [two.reference])
})

t.test('what: an image without an archive does not stop the rest', async (t) => {
  t.match(await load('not/there:1.0', ...both), [
    { result: 'failed', error: { code: 'NO_ARCHIVE' } },
    { result: 'loaded' },
    { result: 'loaded' },
  ])
})

t.test('metadata of schema 1: an earlier delivery verifies, loads and is up to date', async (t) => {
  const old = join(import.meta.dirname, '../fixtures/schema-1')
  const places = t.testdir({})
  await cp(old, places, { recursive: true })
  const [dir, other] = [join(places, 'graph-driver'), join(places, 'containerd')]
  const all = (result: string) => [{ result }, { result }]
  t.match(await bench.ask('verify_checksums', dir), all('verified'))
  t.match(await bench.ask('load_compressed_tars', dir), all('loaded'))
  t.match(await bench.ask('load_compressed_tars', dir), all('already loaded'))
  t.match(await bench.ask('verify_checksums', other), all('verified'))
  const as = ['--no-pull', '--format', 'zst', 'example.com/tool:1.0']
  // The ID that its engine gave was that of the manifest.
  for (const each of [dir, other]) {
    t.match(await bench.ask('save_compressed_tars', each, ...as), [{ result: 'up to date' }])
  }
  const next = [...as.slice(0, -1), 'example.com/tool:1.1']
  const since = ['--since', '.', ...next]
  t.match(await bench.ask('save_compressed_tars', dir, ...since), [{ result: 'up to date' }])
})

t.test('already there: untagged only gets its tag', async (t) => {
  await load(one.reference)
  await docker('tag', one.reference, 'another/name:1.0')
  await docker('image', 'rm', one.reference)
  const { stdout } = await bench.run('load_compressed_tars', carry, one.reference)
  t.match(stdout, `Already loaded: ${one.reference}`)
  t.notMatch(stdout, 'Loading')
  t.equal(await inspect(one.reference), one.configDigest)
})

t.test('already there: is loaded again with --force', async (t) => {
  await load(one.reference)
  t.match(await load(one.reference), [{ result: 'already loaded' }])
  t.match(await load(one.reference, '--force'), [{ result: 'loaded', notes: [] }])
})

t.test('tag: what it meant before is told', async (t) => {
  await load(two.reference)
  await docker('tag', two.reference, one.reference)
  t.match(await load(one.reference), [
    { result: 'loaded', notes: [`${one.reference} was ${two.configDigest} before`] },
  ])
  t.equal(await inspect(one.reference), one.configDigest)
})

t.test('tag: what it meant before is told where the image only gets its tag', async (t) => {
  await load()
  await docker('tag', one.reference, 'another/name:1.0')
  await docker('tag', two.reference, one.reference)
  t.match(await load(one.reference), [
    { result: 'already loaded', notes: [`${one.reference} was ${two.configDigest} before`] },
  ])
  t.equal(await inspect(one.reference), one.configDigest)
})

for (const layout of ['legacy', 'oci', 'oci-gzip', 'podman', 'crane'] as const) {
  t.test(`layout: ${layout} loads, with metadata and without`, async (t) => {
    const dir = t.testdir()
    const { archive, configDigest } = dockerArchive({
      layers: [tar([GREETING]), tar(dataLayer('laid')), tar([]), tar([GREETING])],
      tags: ['laid/out:1.0', 'laid/out:latest'],
      layout,
    })
    await writeFile(join(dir, 'laid-out.tar'), archive)
    await bench.ask('compress_tars', dir, '--level', '0')
    for (const metadata of [true, false]) {
      await bench.removeImages()
      if (!metadata) await rm(join(dir, 'laid-out.tar.xz.json'))
      const [answer] = await bench.ask('load_compressed_tars', dir)
      t.match(answer, { result: 'loaded' })
      t.strictSame(
        answer?.notes,
        metadata ? [] : ['no metadata: internally consistent, origin unverified'],
      )
      t.strictSame(await tags(), ['laid/out:1.0', 'laid/out:latest'])
      t.equal(await inspect('laid/out:1.0'), configDigest)
    }
    const container = await docker('create', '--network=none', 'laid/out:1.0', 'none')
    const text = await bench.sh('/', `docker export ${container} | tar xO ${GREETING.path}`)
    await docker('rm', container)
    t.equal(`${text}\n`, GREETING.content)
  })
}
