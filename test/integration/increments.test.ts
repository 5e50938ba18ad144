// Three monthly deliveries, the second and the third of which carry only what
// is new; into an engine that has all of the earlier ones, some of it, or none.
import { join } from 'node:path'
import t, { type Test } from 'tap'

import {
  GREETING,
  buildImage,
  busyboxLayer,
  dataLayer,
  type SampleImage,
} from '../fixtures/sample-images.ts'
import {
  archiveOf,
  checkInContainer,
  damageLayer,
  incrementOf,
  recordOf,
  setUp,
  type Answer,
} from '../fixtures/workbench.ts'

// Whoever sees it first: the sha256 of the segment, or the decompressor.
const DAMAGED = /^(MISMATCH|BAD_ARCHIVE)$/

const bench = await setUp(t)
const { engine } = bench
const { docker } = engine
const build = async (name: string, ...seeds: string[]) =>
  buildImage(engine, bench.registry, {
    name: `sample/${name}`,
    layers: [await busyboxLayer(), ...seeds.map(dataLayer), [GREETING]],
  })
const months = [
  [await build('tool:1', 'shared', 'a'), await build('data:1', 'shared', 'b')],
  // A layer comes on top; another one takes the place of one that goes.
  [await build('tool:2', 'shared', 'a', 'c'), await build('data:2', 'shared', 'd')],
  // The layer c stays, but on another chain; d stays where it is.
  [await build('tool:3', 'shared', 'c'), await build('data:3', 'shared', 'd', 'e')],
] as const
const [first, second, third] = months
const images = months.flat()

const list = (of: readonly SampleImage[]): Record<string, string> => ({
  'images_list.txt': of.map((image) => image.reference).join('\n'),
})
// The deliveries, all of them together, and the metadata only, as a near side keeps them.
const root = t.testdir({
  1: list(first),
  2: list(second),
  3: list(third),
  all: {},
  kept: {},
})
const [all, kept] = [join(root, 'all'), join(root, 'kept')]
const saved: Answer[][] = []
for (const [index, month] of months.entries()) {
  const dir = join(root, `${index + 1}`)
  saved.push(await save(dir, [], ...(index > 0 ? ['--since', kept] : [])))
  await bench.sh(dir, `cp *.tar.xz *.json ${all}`)
  if (month !== third) await bench.sh(dir, `cp *.json ${kept}`)
  const references = month.map((image) => image.reference)
  await docker('save', '--output', `${dir}.tar`, ...references)
}
const increment = (image: SampleImage): string => incrementOf(archiveOf(image))

function save(dir: string, of: readonly SampleImage[], ...args: string[]): Promise<Answer[]> {
  const references = of.map((image) => image.reference)
  return bench.ask('save_compressed_tars', dir, '--no-pull', '--level', '1', ...args, ...references)
}

function load(month: number | string, ...args: string[]): Promise<Answer[]> {
  return bench.ask('load_compressed_tars', join(root, `${month}`), ...args)
}

function verify(month: number | string, ...args: string[]): Promise<Answer[]> {
  return bench.ask('verify_checksums', join(root, `${month}`), ...args)
}

/** An engine with the images of these deliveries only. */
async function prepare(...deliveries: number[]): Promise<void> {
  await bench.removeImages()
  for (const month of deliveries) await docker('load', '--input', join(root, `${month}.tar`))
}

async function checkImages(t: Test, of: readonly SampleImage[]): Promise<void> {
  for (const image of of) await checkInContainer(t, engine, image)
}

/** What an increment needs: diffIDs, and the name of the archive that has each. */
async function requiredBy(month: number, image: SampleImage): Promise<[string, string][]> {
  const { requires = [] } = await recordOf(join(root, `${month}`), increment(image))
  return requires.map(({ digest, archive }) => [digest, archive])
}

t.test('save: leaves out what was delivered, and says how much', async (t) => {
  t.match(saved[0], [{ leftOutBytes: undefined }, { leftOutBytes: undefined }])
  for (const [index, month] of [second, third].entries()) {
    for (const [position, image] of month.entries()) {
      const answer = saved[index + 1]?.[position]
      const metadata = await recordOf(join(root, `${index + 2}`), increment(image))
      const leftOut = metadata.requires?.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
      t.match(answer, { result: 'saved', archive: increment(image), leftOutBytes: leftOut })
      const full = Number(await bench.sh(root, `docker save ${image.reference} | wc -c`))
      const headers = (metadata.requires?.length ?? 0) * 512
      const padding = full - metadata.tar.sizeBytes - (leftOut ?? 0) - headers
      t.ok(padding >= 0 && padding < headers, `the tar is smaller by that: ${padding}`)
    }
  }
  const text = await bench.run(
    'save_compressed_tars',
    t.testdir(),
    '--no-pull',
    '--since',
    kept,
    second[0].reference,
  )
  t.match(text.stdout, /^Left out .* delivered before/m)
})

t.test('save: notes which layers, and which archive carried them', async (t) => {
  const [tool1, data1] = first
  const [tool2, data2] = second
  const [tool3, data3] = third
  const shared = tool1.diffIds.slice(0, 2)
  const digests = async (month: number, image: SampleImage): Promise<string[]> =>
    (await requiredBy(month, image)).map(([digest]) => digest).toSorted()
  t.strictSame(await digests(2, tool2), tool1.diffIds.slice(0, 3).toSorted())
  t.strictSame(await digests(2, data2), shared.toSorted())
  t.strictSame(await digests(3, tool3), shared.toSorted(), 'c is on another chain now')
  t.strictSame(await digests(3, data3), data2.diffIds.slice(0, 3).toSorted())
  const carriers = new Map(await requiredBy(3, data3))
  t.equal(carriers.get(data2.diffIds[2] ?? ''), increment(data2))
  for (const digest of shared) {
    t.match(carriers.get(digest), new RegExp(`^(${archiveOf(tool1)}|${archiveOf(data1)})$`))
  }
})

t.test('save: an increment is up to date, and the same again', async (t) => {
  const again = await save(join(root, '3'), third, '--since', kept)
  t.match(again, [
    { result: 'up to date', archive: increment(third[0]) },
    { result: 'up to date', archive: increment(third[1]) },
  ])
  const dir = t.testdir()
  const since = ['--since', join(root, '1'), '--since', join(root, '2')]
  await save(dir, third, ...since, '--threads', '1')
  for (const image of third) {
    await bench.sh(dir, `cmp ${increment(image)} ${join(root, '3', increment(image))}`)
  }
})

t.test('save: nothing delivered, nothing left out', async (t) => {
  const dir = t.testdir({ none: {} })
  t.match(await save(dir, first, '--since', 'none'), [
    { archive: archiveOf(first[0]), leftOutBytes: undefined },
    { archive: archiveOf(first[1]), leftOutBytes: undefined },
  ])
  const result = await bench.run('save_compressed_tars', dir, '--since', 'nowhere', 'some/image:1')
  t.match(result, { status: 1, stderr: /error: directory not found: "nowhere"/ })
})

t.test('load: month after month', async (t) => {
  await prepare()
  for (const [index, month] of months.entries()) {
    const answers = await load(index + 1)
    t.match(answers, [{ result: 'loaded' }, { result: 'loaded' }])
    for (const answer of index === 0 ? [] : answers) t.ok(Number(answer.skippedBytes) > 4e6)
    await checkImages(t, month)
  }
  t.match(await load(3), [{ result: 'already loaded' }, { result: 'already loaded' }])
  t.match(await verify(3, '--against', 'engine'), [{ result: 'verified' }, { result: 'verified' }])
})

t.test(
  'load: an engine that has none of the layers, earlier archives in two directories',
  async (t) => {
    await prepare()
    const bases = ['--base', join(root, '1'), '--base', join(root, '2')]
    t.match(await load(3, ...bases), [{ result: 'loaded' }, { result: 'loaded' }])
    await checkImages(t, third)
  },
)

t.test('load: an engine that has none, earlier archives in the delivery', async (t) => {
  await prepare()
  const names = third.map(increment)
  t.match(await load('all', ...names), [{ result: 'loaded' }, { result: 'loaded' }])
  await checkImages(t, third)
})

t.test('load: an engine that has none, and no earlier archives', async (t) => {
  await prepare()
  const answers = await load(3)
  for (const [index, image] of third.entries()) {
    t.match(answers[index], { result: 'failed', error: { code: 'MISSING_LAYER' } })
    const { message = '', hint = '' } = answers[index]?.error ?? {}
    for (const [digest, archive] of await requiredBy(3, image)) {
      t.match(message, digest)
      t.match(message, `"${archive}"`)
    }
    t.match(hint, '--base')
  }
  t.equal(await bench.listImages(), '', 'the engine has no image')
})

t.test('load: what is missing is said before anything is sent', async (t) => {
  await prepare()
  const events = bench.sh(root, 'timeout 5 docker events --since 0s || true')
  await load(3)
  t.notMatch(await events, /image load/)
})

t.test('load: an engine that has some of the layers', async (t) => {
  await prepare(1)
  const [tool, data] = await load(3)
  t.match(tool, { result: 'loaded' })
  // Only the layer d is missing, which came in month 2.
  t.match(data, { result: 'failed', error: { code: 'MISSING_LAYER' } })
  const message = data?.error?.message ?? ''
  t.match(message, second[1].diffIds[2] ?? '')
  t.match(message, increment(second[1]))
  t.notMatch(message, first[0].diffIds[0] ?? '')
  t.match(await load(3, '--base', join(root, '2')), [
    { result: 'already loaded' },
    { result: 'loaded', skippedBytes: Number },
  ])
  await checkImages(t, third)
})

t.test('load: all deliveries at once', async (t) => {
  await prepare()
  const answers = await load('all')
  t.equal(answers.length, 6)
  // In the order of names an increment may come before what it needs, which is at hand.
  t.strictSame(new Set(answers.map(({ result }) => result)), new Set(['loaded']))
  await checkImages(t, images)
})

t.test('load: an increment is found by the name of its image', async (t) => {
  await prepare(1, 2)
  t.match(await load(3, third[0].reference), [{ result: 'loaded', archive: increment(third[0]) }])
})

t.test('by hand: xz and docker load, where the layers are', async (t) => {
  await prepare(1)
  const script = `xz -dc ${increment(second[0])} | docker load`
  await bench.sh(join(root, '2'), script)
  await checkImages(t, [second[0]])
  await prepare()
  await t.rejects(bench.sh(join(root, '2'), script))
})

t.test('verify: an increment by its metadata, as far as it goes', async (t) => {
  await prepare()
  for (const answer of await verify(2)) {
    t.equal(answer.result, 'verified')
    t.match(
      answer.notes.join('; '),
      /checked against its metadata; \d layers of .* were not at hand/,
    )
  }
  t.match(await verify(2, '--quick'), [{ result: 'verified' }, { result: 'verified' }])
})

t.test('verify: an increment wholly, where the earlier archives are', async (t) => {
  await prepare()
  for (const answer of await verify(2, '--base', join(root, '1'))) {
    t.equal(answer.result, 'verified')
    t.match(answer.notes.join('; '), /layers of earlier archives are whole/)
    t.notMatch(answer.notes.join('; '), /not at hand/)
  }
  const [data] = await verify(3, '--base', join(root, '1'), increment(third[1]))
  t.match(data, { result: 'verified' })
  t.match(data?.notes.join('; '), `1 layers of "${increment(second[1])}" were not at hand`)
  const answers = await verify(3, '--base', join(root, '1'), '--base', join(root, '2'))
  t.match(answers, [{ result: 'verified' }, { result: 'verified' }])
  for (const { notes } of answers) t.notMatch(notes.join('; '), /not at hand/)
})

t.test('verify: an increment against the engine', async (t) => {
  await prepare(1, 2, 3)
  for (const month of [2, 3]) {
    for (const answer of await verify(month, '--against', 'engine')) {
      t.equal(answer.result, 'verified')
      t.match(answer.notes.join('; '), /checked against the engine/)
      t.equal(answer.md5?.expected, answer.md5?.archive, 'content md5')
    }
  }
})

t.test('verify: a damaged base is found', async (t) => {
  await prepare()
  const base = t.testdir()
  await bench.sh(base, `cp ${join(root, '1')}/* .`)
  for (const image of first) {
    await damageLayer(base, archiveOf(image), image.diffIds[1] ?? '')
  }
  t.match(await verify(2, '--base', base), [
    { result: 'failed', error: { code: DAMAGED } },
    { result: 'failed', error: { code: DAMAGED } },
  ])
})

t.test('one directory: what one increment carries no more goes over with another', async (t) => {
  const dir = t.testdir({ delivered: {} })
  const delivered = join(dir, 'delivered')
  const name = first[0].repository.replace(/\w+$/, 'changing:1')
  const changing = { ...first[0], reference: name }
  const tag = (image: SampleImage) => docker('tag', image.configDigest, name)
  await prepare(1, 2, 3)
  await bench.sh(dir, `cp ${join(root, '1')}/*.json delivered`)
  // The increment of data:2 is what carries its layer d, until its tag moves.
  await tag(second[1])
  await save(dir, [changing], '--since', delivered)
  await bench.sh(dir, 'cp *.json delivered')
  const requires = async () => {
    const metadata = await recordOf(dir, increment(third[1]))
    return new Set(metadata.requires?.map(({ archive }) => archive))
  }
  await save(dir, [third[1]], '--since', delivered)
  t.strictSame(await requires(), new Set([archiveOf(first[1]), increment(changing)]))
  await tag(second[0])
  await save(dir, [changing], '--since', delivered)
  t.match(await save(dir, [third[1]], '--since', delivered), [{ result: 'saved' }])
  t.strictSame(await requires(), new Set([archiveOf(first[1])]))
  const base = ['--base', join(root, '1')]
  await bench.removeImages()
  t.match(await bench.ask('load_compressed_tars', dir, ...base), [
    { result: 'loaded' },
    { result: 'loaded' },
  ])
})

t.test('one directory: a tag that moves, month after month', async (t) => {
  const latest = (image: SampleImage): SampleImage => ({
    ...image,
    reference: `${image.repository.replace(/\w+$/, 'moving')}:latest`,
  })
  const dir = t.testdir()
  const tag = async (image: SampleImage): Promise<SampleImage> => {
    await docker('tag', image.configDigest, latest(image).reference)
    return latest(image)
  }
  const moving = second[0].repository.replace(/\w+$/, 'moving')
  await prepare(1, 2, 3)
  // In full, then twice an increment, each of what is in the directory.
  const data1 = await tag(first[1])
  t.match(await save(dir, [data1]), [{ result: 'saved', archive: archiveOf(data1) }])
  const data2 = await tag(second[1])
  t.match(await save(dir, [data2], '--since', '.'), [
    { result: 'saved', archive: increment(data2), leftOutBytes: Number },
  ])
  await bench.removeImages()
  // What the increment lacks comes from the archive in full, which is not loaded.
  for (const names of [[`${moving}:latest`], []]) {
    const answers = await bench.ask('load_compressed_tars', dir, ...names)
    t.match(answers, [{ archive: increment(data2) }])
    t.equal(answers.length, 1)
    await checkImages(t, [data2])
  }
  await checkImages(t, [data2])
  await prepare(1, 2, 3)
  const data3 = await tag(third[1])
  t.match(await save(dir, [data3], '--since', '.'), [
    { result: 'saved', archive: increment(data3), leftOutBytes: Number },
  ])
  await bench.removeImages()
  const again = await bench.ask('load_compressed_tars', dir, `${moving}:latest`)
  t.match(again, [{ result: 'loaded', archive: increment(data3) }])
  await checkImages(t, [data3])
  // Starting again in full takes the increment away.
  const full = await save(dir, [data3])
  t.match(full, [{ result: 'saved', archive: archiveOf(data3), leftOutBytes: undefined }])
  t.equal(
    await bench.sh(dir, 'ls'),
    [archiveOf(data3), `${archiveOf(data3)}.json`, 'SHA256SUMS'].join('\n'),
  )
  await bench.sh(dir, 'sha256sum --quiet -c SHA256SUMS')
  await bench.removeImages()
  t.match(await bench.ask('load_compressed_tars', dir), [{ result: 'loaded' }])
  await checkImages(t, [data3])
})
