// An engine that has some of an image's layers is sent the others only: what it
// has is not even read.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'

import { dockerArchive } from '../fixtures/archive-builder.ts'
import { wrapCommand } from '../fixtures/faults.ts'
import { overTcp } from '../fixtures/gate.ts'
import { run } from '../fixtures/run.ts'
import {
  GREETING,
  buildImage,
  busyboxLayer,
  dataLayer,
  type SampleImage,
} from '../fixtures/sample-images.ts'
import { tar } from '../fixtures/tar-builder.ts'
import {
  archiveOf,
  checkInContainer,
  damageLayer,
  readAnswers,
  recordOf,
  setUp,
} from '../fixtures/workbench.ts'

// Whoever sees it first: the sha256 of the segment, or the decompressor.
const DAMAGED = /^(MISMATCH|BAD_ARCHIVE)$/

const bench = await setUp(t)
const { engine } = bench
const { docker } = engine
const load = (dir: string, ...args: string[]) => bench.ask('load_compressed_tars', dir, ...args)
const build = async (name: string, ...seeds: string[]) =>
  buildImage(engine, bench.registry, {
    name: `sample/${name}`,
    layers: [await busyboxLayer(), ...seeds.map(dataLayer)],
  })
const base = await build('base:1.0', 'shared')
const app = await build('app:1.0', 'shared', 'app')
const train = await build('train:1.0', 'shared', 'train')
// The layers of train, above another base: none of its chain is known.
const other = await build('other:1.0', 'other', 'shared', 'train')
const images = [base, app, train, other]

const root = t.testdir({ whole: {}, tars: {} })
const [whole, tars] = [join(root, 'whole'), join(root, 'tars')]
const saveArgs = ['--no-pull', '--level', '1']
await bench.run('save_compressed_tars', whole, ...saveArgs, ...images.map((each) => each.reference))
for (const image of images) {
  await docker('save', '--output', join(tars, tarOf(image)), image.reference)
}

/** A copy of the delivery, and an engine with these images only. */
async function prepare(t: Test, ...present: SampleImage[]): Promise<string> {
  const dir = t.testdir()
  await bench.sh(dir, `cp ${whole}/* .`)
  await prepareEngine(...present)
  return dir
}

/** The bytes of an image's layers, the first of them being left out. */
async function layerBytes(image: SampleImage, count: number): Promise<number> {
  const [saved] = (await recordOf(whole, archiveOf(image))).images
  return (saved?.layers ?? []).slice(0, count).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
}

const checkImage = (t: Test, image: SampleImage) => checkInContainer(t, engine, image)
t.test('skipping: an engine that has nothing is sent all', async (t) => {
  const dir = await prepare(t)
  t.match(await load(dir, app.reference), [{ result: 'loaded', skippedBytes: undefined }])
  await checkImage(t, app)
})

t.test('skipping: the shared layers of several images are loaded once', async (t) => {
  const dir = await prepare(t)
  const { status, stdout } = await bench.run('load_compressed_tars', dir, ...references())
  t.equal(status, 0)
  t.match(stdout, /^Skipped .* in the engine already/m)
  for (const image of images) await checkImage(t, image)
  await prepare(t)
  t.match(await load(dir, ...references()), [
    { result: 'loaded', skippedBytes: undefined },
    { result: 'loaded', skippedBytes: await layerBytes(app, 2) },
    { result: 'loaded', skippedBytes: await layerBytes(train, 2) },
    { result: 'loaded', skippedBytes: await layerBytes(other, 1) },
  ])
})

t.test('skipping: an engine that has all layers is sent none', async (t) => {
  const dir = await prepare(t, app)
  for (const diffId of base.diffIds) await damageLayer(dir, archiveOf(base), diffId)
  t.match(await load(dir, base.reference), [
    { result: 'loaded', skippedBytes: await layerBytes(base, 2) },
  ])
  await checkImage(t, base)
})

t.test('skipping: a damaged layer that the engine has is not read', async (t) => {
  const dir = await prepare(t, base)
  await damageLayer(dir, archiveOf(app), app.diffIds[1] ?? '')
  t.match(await load(dir, app.reference), [
    { result: 'loaded', skippedBytes: await layerBytes(app, 2) },
  ])
  await checkImage(t, app)
})

t.test('skipping: a damaged layer that the engine lacks is refused', async (t) => {
  const dir = await prepare(t, base)
  await damageLayer(dir, archiveOf(app), app.diffIds[2] ?? '')
  const before = await bench.listImages()
  t.match(await load(dir, app.reference), [{ result: 'failed', error: { code: DAMAGED } }])
  t.equal(await bench.listImages(), before, 'the engine has what it had')
})

t.test('skipping: a layer is the same above the same layers only', async (t) => {
  const dir = await prepare(t, train)
  await damageLayer(dir, archiveOf(other), other.diffIds[3] ?? '')
  t.match(await load(dir, other.reference), [{ result: 'failed', error: { code: DAMAGED } }])
})

t.test('skipping: with --force all is sent', async (t) => {
  const dir = await prepare(t, base)
  t.match(await load(dir, app.reference, '--force'), [
    { result: 'loaded', skippedBytes: undefined },
  ])
  await damageLayer(dir, archiveOf(train), train.diffIds[1] ?? '')
  t.match(await load(dir, train.reference, '--force'), [
    { result: 'failed', error: { code: DAMAGED } },
  ])
})

t.test('skipping: a layer that comes twice in an image', async (t) => {
  const dir = await prepare(t)
  const layers = [await busyboxLayer(), dataLayer('twice'), [], dataLayer('twice')]
  const repeated = await buildImage(engine, bench.registry, { name: 'sample/twice:1.0', layers })
  const below = await buildImage(engine, bench.registry, {
    name: 'sample/below:1.0',
    layers: layers.slice(0, 2),
  })
  await bench.run('save_compressed_tars', dir, ...saveArgs, repeated.reference, below.reference)
  await bench.removeImages()
  await load(dir, below.reference)
  // The engine has the layer at its first place, not at its second.
  const [loaded] = await load(dir, repeated.reference)
  t.match(loaded, { result: 'loaded' })
  await checkImage(t, repeated)
})

/** The environment in which the client is a script of ours; on this machine some loads would go without one. */
async function withClient(t: Test, bin: string, script: string): Promise<Record<string, string>> {
  const client = await wrapCommand(bin, 'docker', script)
  return { ...engine.env, ...client, ...(await overTcp(t, engine)) }
}

t.test('skipping: a layer that disappears in between is sent after all', async (t) => {
  const dir = await prepare(t, base)
  // Just before the first load somebody removes the image.
  const remove = `
    if [ "$1" = load ] && mkdir "${dir}/removed" 2>/dev/null; then
      "$real" image rm --force ${base.reference} >&2
    fi
    exec "$real" "$@"`
  const env = await withClient(t, join(dir, 'bin'), remove)
  const args = ['--json', app.reference]
  const result = await run('load_compressed_tars', args, { cwd: dir, env })
  t.match(readAnswers(result), [{ result: 'loaded', skippedBytes: undefined }])
  t.match(result.stderr, /warning: .*loaded again with the layers that the engine had/)
  await checkImage(t, app)
})

t.test('skipping: an engine that fails twice is an error', async (t) => {
  const dir = await prepare(t, base)
  const fail = 'if [ "$1" = load ]; then echo "no luck" >&2; exit 1; fi; exec "$real" "$@"'
  const env = await withClient(t, join(dir, 'bin'), fail)
  const args = ['--json', app.reference]
  const result = await run('load_compressed_tars', args, { cwd: dir, env })
  t.match(readAnswers(result), [
    { result: 'failed', error: { code: 'ENGINE_FAILED', message: /no luck/ } },
  ])
})

t.test('skipping: what an image that failed was to bring is sent with the next', async (t) => {
  const dir = await prepare(t)
  // The first load fails when it has all, and the next one is on its way.
  const fail = `
    if [ "$1" = load ]; then echo >>"${dir}/loads"; fi
    if [ "$1" = load ] && mkdir "${dir}/failed" 2>/dev/null; then
      cat >/dev/null
      for _ in {1..1200}; do [ "$(wc -l <"${dir}/loads")" -gt 1 ] && break; sleep 0.1; done
      echo "no luck" >&2; exit 1
    fi
    exec "$real" "$@"`
  const env = await withClient(t, join(dir, 'bin'), fail)
  const args = ['--json', app.reference, train.reference]
  const result = await run('load_compressed_tars', args, { cwd: dir, env })
  t.match(readAnswers(result), [
    { result: 'failed', error: { code: 'ENGINE_FAILED', message: /no luck/ } },
    { result: 'loaded', skippedBytes: undefined },
  ])
  t.notMatch(result.stderr, 'warning')
  const lines = result.stderr.match(/^(Loading|Loaded|FAILED)/gm)?.join()
  t.equal(lines, 'Loading,FAILED,Loading,Loaded')
  t.equal(await bench.sh(dir, 'wc -l <loads'), '3', 'what was on its way was not used')
  const next = await run('load_compressed_tars', ['--json', base.reference], { cwd: dir, env })
  t.match(readAnswers(next), [{ result: 'loaded', skippedBytes: await layerBytes(base, 2) }])
  for (const image of [train, base]) await checkImage(t, image)
})

t.test('skipping: a compressed tar of several images leaves out what they share', async (t) => {
  const dir = await prepare(t, ...images)
  await bench.sh(dir, `rm *.xz *.json; docker save ${app.reference} ${train.reference} >two.tar`)
  await bench.ask('compress_tars', dir, '--level', '1')
  await prepareEngine(base)
  await damageLayer(dir, 'two.tar.xz', base.diffIds[1] ?? '')
  t.match(await load(dir, 'two.tar.xz'), [
    { result: 'loaded', skippedBytes: await layerBytes(app, 2) },
  ])
  for (const image of [app, train]) await checkImage(t, image)
})

t.test('no segments: an archive of the plain pipeline is sent in full', async (t) => {
  const dir = await prepare(t, ...images)
  await bench.sh(
    dir,
    `docker save ${app.reference} | pixz >plain.tar.xz; sha256sum plain.tar.xz >>SHA256SUMS`,
  )
  await prepareEngine(base)
  t.match(await load(dir, 'plain.tar.xz'), [{ result: 'loaded', skippedBytes: undefined }])
  await checkImage(t, app)
})

t.test('no segments: nor is an image of small layers in parts', async (t) => {
  const dir = await prepare(t, base)
  const small = dockerArchive({
    layers: [tar([GREETING])],
    tags: ['sample/small:1.0'],
    layout: 'legacy',
  })
  await writeFile(join(dir, 'small.tar'), small.archive)
  t.match(await bench.ask('compress_tars', dir), [{ result: 'compressed' }])
  t.match(await load(dir, 'small.tar.xz'), [{ result: 'loaded', skippedBytes: undefined }])
})

function tarOf(image: SampleImage): string {
  return archiveOf(image).replace(/\.xz$/, '')
}

function references(): string[] {
  return images.map((image) => image.reference)
}

async function prepareEngine(...present: SampleImage[]): Promise<void> {
  await bench.removeImages()
  for (const image of present) await docker('load', '--input', join(tars, tarOf(image)))
}
