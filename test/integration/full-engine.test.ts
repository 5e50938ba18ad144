// An engine whose disk is full. A containerd store then keeps an image that it could
// not lay out, and calls the load a success.
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'

import { dockerArchive } from '../fixtures/archive-builder.ts'
import type { Engine } from '../fixtures/docker-engine.ts'
import { overTcp } from '../fixtures/gate.ts'
import { startNewerEngine } from '../fixtures/newer-engine.ts'
import { run, type RunResult } from '../fixtures/run.ts'
import { pseudoRandom } from '../fixtures/sample-layers.ts'
import { tar, type TarEntry } from '../fixtures/tar-builder.ts'
import { readAnswers, removeImages } from '../fixtures/workbench.ts'

const MB = 1_000_000
// Room for the image and its files, until most of it is taken.
const [engine, graph] = await Promise.all([
  startNewerEngine('containerd', { dataSize: '160m' }),
  startNewerEngine('graph driver', { dataSize: '120m' }),
])
t.teardown(() => Promise.all([engine.stop(), graph.stop()]))

const REFERENCE = 'registry.example/sample/large:1.0'
const IMAGE = {
  layers: ['one', 'two'].map((name) =>
    tar([{ path: name, content: pseudoRandom(name, 25 * MB), mode: 0o444 }]),
  ),
  tags: [REFERENCE],
  layout: 'oci-gzip',
} as const
const { archive, layerPaths } = dockerArchive(IMAGE)
const dir = t.testdir({ 'large.tar': archive })
await run('compress_tars', ['--level', '0'], { cwd: dir })

const load = (env: Engine['env'], ...args: string[]): Promise<RunResult> =>
  run('load_compressed_tars', args, { cwd: dir, env })
const ask = async (env: Engine['env']) => readAnswers(await load(env, '--json'))

/** Takes room from an engine until the test ends; gives what returns it. */
async function fill(t: Test, full: Engine, bytes: number): Promise<() => Promise<void>> {
  const file = `/proc/${full.pid}/root${join(full.dir, 'data', 'filler')}`
  await writeFile(file, Buffer.alloc(bytes))
  const free = () => rm(file, { force: true })
  t.teardown(free)
  return free
}

const OF_CONTAINERS = [
  '--filter',
  'type=container',
  '--filter',
  'event=create',
  '--format',
  '{{.Action}}',
]
const now = () => engine.docker('info', '--format', '{{.SystemTime}}')
const events = (since: string, until: string) =>
  engine.docker('events', '--since', since, '--until', until, ...OF_CONTAINERS)
const NO_SPACE = [{ result: 'failed', error: { code: 'NO_SPACE', message: /no space left/ } }]

for (const way of ['by its socket', 'by its client']) {
  t.test(`full disk: what cannot be laid out is not loaded, ${way}`, async (t) => {
    t.teardown(() => removeImages(engine))
    const env = { ...engine.env, ...(way === 'by its client' && (await overTcp(t, engine))) }
    const free = await fill(t, engine, 80 * MB)
    const first = await load(env)
    t.equal(first.status, 1)
    t.match(first.stderr, /error: load "large\.tar\.xz": Error unpacking image .*no space left/)
    t.match(first.stderr, /hint: free some space where the engine keeps its images/)
    t.notMatch(first.stdout, /Loaded|Done!/)
    t.match(await ask(env), NO_SPACE, 'nor is it there already')
    await free()
    t.match(await ask(env), [{ result: 'already loaded' }], 'with room it is laid out')
    await engine.docker('create', '--pull', 'never', REFERENCE, 'none')
    const since = await now()
    t.match(await ask(env), [{ result: 'already loaded' }])
    const made = await events(since, await now())
    t.equal(made, way === 'by its socket' ? '' : 'create', 'the daemon tells it by its socket')
    const containers = await engine.docker('ps', '--all', '--format', '{{.Names}}')
    t.notMatch(containers, /dgx-offline-images/, 'no container of ours is left')
    await engine.docker('rm', ...(await engine.docker('ps', '--all', '--quiet')).split('\n'))
  })
}

t.test('full disk: a dry run makes nothing, and says what it can', async (t) => {
  t.teardown(() => removeImages(engine))
  await fill(t, engine, 80 * MB)
  await load(engine.env)
  const since = await now()
  const dryRun = (env: Engine['env']) => load(env, '--dry-run')
  t.match(await dryRun(engine.env), { status: 0, stdout: /Would be loaded/ })
  const overClient = { ...engine.env, ...(await overTcp(t, engine)) }
  t.match(await dryRun(overClient), { status: 0, stdout: /Already loaded/ })
  t.equal(await events(since, await now()), '')
})

t.test('missing layer: an image that the engine keeps without it is loaded', async (t) => {
  t.teardown(() => removeImages(engine))
  const lacking = join(t.testdir(), 'lacking.tar')
  const lack = (entries: TarEntry[]) => entries.filter(({ path }) => path !== layerPaths[1])
  await writeFile(lacking, dockerArchive({ ...IMAGE, edit: lack }).archive)
  t.match(await engine.docker('load', '--input', lacking), /Error unpacking image/)
  t.match(await ask(engine.env), [{ result: 'loaded' }])
  t.match(await ask(engine.env), [{ result: 'already loaded' }])
})

t.test('full disk: a graph driver says so itself, and keeps nothing', async (t) => {
  await fill(t, graph, 80 * MB)
  t.match(await ask(graph.env), NO_SPACE)
  t.equal(await graph.docker('image', 'ls', '--all', '--quiet'), '')
})
