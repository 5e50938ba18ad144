// The other engine: what docker saved loads into podman and the other way.
import t from 'tap'

import { startPodman } from '../fixtures/podman-engine.ts'
import { run, type Program } from '../fixtures/run.ts'
import { buildImage } from '../fixtures/sample-images.ts'
import { busyboxLayer, GREETING } from '../fixtures/sample-layers.ts'
import { archiveOf, readAnswers, recordOf, setUp } from '../fixtures/workbench.ts'

const bench = await setUp(t)
const { docker } = bench.engine
const image = await buildImage(bench.engine, bench.registry, {
  name: 'sample/base:1.0',
  layers: [await busyboxLayer(), [GREETING]],
})

const podman = await startPodman()
t.teardown(podman.stop)
const { env } = podman
const ask = async (program: Program, dir: string, ...args: string[]) => {
  const all = [...args, '--engine', 'podman', '--json']
  return readAnswers(await run(program, all, { cwd: dir, env }))
}

t.test('podman: takes what docker saved, and verifies it', async (t) => {
  const dir = t.testdir()
  await bench.ask('save_compressed_tars', dir, image.reference)
  t.match(await ask('load_compressed_tars', dir), [{ result: 'loaded', notes: [] }])
  const id = await podman.docker('image', 'inspect', '--format', '{{.Id}}', image.reference)
  t.equal(`sha256:${id}`, image.configDigest)
  t.match(await ask('load_compressed_tars', dir), [{ result: 'already loaded' }])
  t.match(await ask('verify_checksums', dir, '--against', 'engine'), [
    {
      result: 'verified',
      notes: ['the engine lays it out differently: config digest and 2 layers are the same'],
    },
  ])
})

t.test('podman: saves what docker takes', async (t) => {
  const dir = t.testdir()
  const [saved] = await ask('save_compressed_tars', dir, '--no-pull', image.reference)
  t.match(saved, { result: 'saved' })
  const { images } = await recordOf(dir, archiveOf(image))
  t.match(images, [{ config: { digest: image.configDigest }, repoTags: [image.reference] }])
  t.match(await ask('verify_checksums', dir), [{ notes: ['checked against the engine'] }])
  await bench.removeImages()
  t.match(await bench.ask('load_compressed_tars', dir), [{ result: 'loaded', notes: [] }])
  t.equal(await docker('run', '--rm', '--network=none', image.reference), GREETING.content.trim())
})

t.test('podman: an image that it does not have', async (t) => {
  const answers = await ask('save_compressed_tars', t.testdir(), '--no-pull', 'not/there:1.0')
  t.match(answers, [{ result: 'failed', error: { code: 'NO_IMAGE' } }])
})
