// Images with the same layers, made at the same time, are others where their settings
// are: builders give many images one time, and tools that change an image keep it.
import { mkdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'

import { dockerArchive } from '../fixtures/archive-builder.ts'
import type { Layout } from '../fixtures/archive-layouts.ts'
import { startEngine, type EngineClient } from '../fixtures/docker-engine.ts'
import { startNewerEngine } from '../fixtures/newer-engine.ts'
import { run, sh, type Program } from '../fixtures/run.ts'
import { GREETING } from '../fixtures/sample-images.ts'
import { tar } from '../fixtures/tar-builder.ts'
import { readAnswers, removeImages, type Answer } from '../fixtures/workbench.ts'

const [graph, store] = await Promise.all([startEngine(), startNewerEngine('containerd')])
t.teardown(() => Promise.all([graph.stop(), store.stop()]))
t.afterEach(() => Promise.all([graph, store].map(removeImages)))

const TAG = 'registry.example/re/built:1.0'
const NAMES = ['one', 'two'] as const
const build = (layout: Layout, name: string, tags: readonly string[] = [TAG]) =>
  dockerArchive({
    layers: [tar([GREETING])],
    tags,
    layout,
    config: { Env: [`BUILD=${name}`], Labels: { name } },
  })

async function ask(
  engine: EngineClient,
  program: Program,
  cwd: string,
  ...args: string[]
): Promise<Answer[]> {
  return readAnswers(await run(program, [...args, '--json'], { cwd, env: engine.env }))
}

/** Puts the archives of both images into directories of their own. */
async function prepare(t: Test, layout: Layout, tags?: readonly string[]): Promise<string[]> {
  const dir = t.testdir(
    Object.fromEntries(NAMES.map((name) => [`${name}.tar`, build(layout, name, tags).archive])),
  )
  await ask(graph, 'compress_tars', dir, '--level', '0')
  return Promise.all(
    NAMES.map(async (name) => {
      await mkdir(join(dir, name))
      const files = [`${name}.tar.xz`, `${name}.tar.xz.json`]
      await Promise.all(files.map((file) => rename(join(dir, file), join(dir, name, file))))
      return join(dir, name)
    }),
  )
}

const envOf = ({ docker }: EngineClient, name: string) =>
  docker('image', 'inspect', '--format', '{{index .Config.Env 0}}', name)

for (const layout of ['legacy', 'oci', 'oci-gzip'] as const) {
  t.test(`same layers and time, as ${layout}: the other image is loaded, and told`, async (t) => {
    for (const engine of [graph, store]) {
      const dirs = await prepare(t, layout)
      const notes = [[], [/^registry\.example\/re\/built:1\.0 was sha256:\S+ before$/]]
      for (const [at, dir] of dirs.entries()) {
        const loaded = await ask(engine, 'load_compressed_tars', dir)
        t.match(loaded, [{ result: 'loaded', notes: notes[at] }])
        t.equal(await envOf(engine, TAG), `BUILD=${NAMES[at]}`)
        const again = await ask(engine, 'load_compressed_tars', dir)
        t.match(again, [{ result: 'already loaded', notes: [] }])
      }
      // The first one is there without a name now.
      const back = await ask(engine, 'load_compressed_tars', dirs[0] ?? '')
      t.match(back, [{ result: 'already loaded', notes: [/was sha256:\S+ before$/] }])
      t.equal(await envOf(engine, TAG), 'BUILD=one')
    }
  })

  t.test(`same layers and time, as ${layout}: of two without a tag both are loaded`, async (t) => {
    const dirs = await prepare(t, layout, [])
    const ids = new Set<string>()
    for (const [at, dir] of dirs.entries()) {
      const [answer] = await ask(store, 'load_compressed_tars', dir)
      t.match(answer, { result: 'loaded', notes: [/^it has no tag: use it by its ID, sha256:/] })
      const id = answer?.notes[0]?.split(', ')[1] ?? ''
      t.equal(await envOf(store, id), `BUILD=${NAMES[at]}`)
      ids.add(id)
      t.match(await ask(store, 'load_compressed_tars', dir), [{ result: 'already loaded' }])
      const verified = await ask(store, 'verify_checksums', dir, '--against', 'engine')
      t.match(verified, [{ result: 'verified' }])
    }
    t.equal(ids.size, 2)
  })
}

t.test('same layers and time: another platform is another image', async (t) => {
  for (const engine of [graph, store]) {
    for (const architecture of ['amd64', 'arm64']) {
      const layers = [tar([GREETING])]
      const image = dockerArchive({ layers, tags: [TAG], layout: 'legacy', architecture })
      const dir = t.testdir({ 'data.tar': image.archive })
      await ask(graph, 'compress_tars', dir, '--level', '0')
      t.match(await ask(engine, 'load_compressed_tars', dir), [{ result: 'loaded' }])
      const format = ['--format', '{{.Architecture}}']
      t.equal(await engine.docker('image', 'inspect', ...format, TAG), architecture)
      t.match(await ask(engine, 'load_compressed_tars', dir), [{ result: 'already loaded' }])
    }
  }
})

t.test('settings: all of a config are told again by the store that loaded them', async (t) => {
  const config = {
    ArgsEscaped: true,
    Cmd: ['cat', ''],
    Entrypoint: ['/bin/sh'],
    Env: ['PATH=/bin', 'EMPTY='],
    ExposedPorts: { '80/tcp': {} },
    Healthcheck: { Test: ['CMD', 'true'], Interval: 1e9, Retries: 0 },
    Hostname: 'builder',
    Labels: { one: '1', empty: '' },
    OnBuild: ['RUN true'],
    Shell: ['/bin/sh', '-c'],
    StopSignal: 'SIGINT',
    StopTimeout: 5,
    User: 'nobody',
    volumes: { '/data': {} },
    WorkingDir: '/data',
  }
  const layers = [tar([GREETING])]
  const image = dockerArchive({ layers, tags: [TAG], layout: 'legacy', config })
  const dir = t.testdir({ 'settings.tar': image.archive })
  await ask(graph, 'compress_tars', dir, '--level', '0')
  t.match(await ask(store, 'load_compressed_tars', dir), [{ result: 'loaded', notes: [] }])
  t.match(await ask(store, 'load_compressed_tars', dir), [{ result: 'already loaded', notes: [] }])
})

t.test('same layers and time: another one is no archive that is up to date', async (t) => {
  const dir = t.testdir()
  for (const name of NAMES) {
    const input = build('oci-gzip', name).archive
    await sh('docker load', { env: store.env, input })
    const save = () => ask(store, 'save_compressed_tars', dir, '--no-pull', '--level', '0', TAG)
    t.match(await save(), [{ result: 'saved' }])
    t.match(await save(), [{ result: 'up to date' }])
    t.match(await ask(store, 'verify_checksums', dir), [{ result: 'verified' }])
  }
  await sh('docker load', { env: store.env, input: build('oci-gzip', 'one').archive })
  t.match(await ask(store, 'verify_checksums', dir), [
    { result: 'failed', error: { code: 'MISMATCH', message: /config digest: got/ } },
  ])
})
