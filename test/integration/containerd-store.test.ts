// The store of a fresh Docker 29: it keeps images as the registry has them, so
// that one tag means several platforms, and an ID is that of a manifest.
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { dockerArchive } from '../fixtures/archive-builder.ts'
import { startEngine, type Engine } from '../fixtures/docker-engine.ts'
import { startNewerEngine } from '../fixtures/newer-engine.ts'
import { startRegistry } from '../fixtures/registry.ts'
import { run, sh, type Program } from '../fixtures/run.ts'
import { buildMultiPlatform, GREETING } from '../fixtures/sample-images.ts'
import { pseudoRandom } from '../fixtures/sample-layers.ts'
import { tar } from '../fixtures/tar-builder.ts'
import { archiveOf, readAnswers, recordOf, removeImages } from '../fixtures/workbench.ts'

const [older, near, far, registry] = await Promise.all([
  startEngine(),
  startNewerEngine('containerd'),
  startNewerEngine('containerd'),
  startRegistry(),
])
t.teardown(() => Promise.all([older, near, far, registry].map(({ stop }) => stop())))
const [amd64, arm64] = await buildMultiPlatform(older, registry)
const { reference, repository } = amd64
await removeImages(older)
t.afterEach(() => Promise.all([older, near, far].map(removeImages)))

const ask = async ({ env }: Engine, program: Program, cwd: string, ...args: string[]) =>
  readAnswers(await run(program, [...args, '--json'], { cwd, env }))
const inspect = ({ docker }: Engine, name: string, format: string) =>
  docker('image', 'inspect', '--format', format, name)
const ARM64 = ['--platform', 'linux/arm64']
const OF_ENGINE = [{ result: 'verified', notes: ['checked against the engine'] }]

t.test('platform: is pulled, saved, verified, and loads into every store', async (t) => {
  const dir = t.testdir()
  t.match(await ask(near, 'save_compressed_tars', dir, ...ARM64, reference), [{ result: 'saved' }])
  t.match((await recordOf(dir, archiveOf(arm64))).images, [
    { platform: 'linux/arm64', config: { digest: arm64.configDigest } },
  ])
  t.match(await ask(near, 'verify_checksums', dir), OF_ENGINE)
  for (const engine of [older, far]) {
    t.match(await ask(engine, 'load_compressed_tars', dir), [{ result: 'loaded', notes: [] }])
    t.equal(await inspect(engine, reference, '{{.Architecture}}'), 'arm64')
    const again = await ask(engine, 'save_compressed_tars', dir, '--no-pull', ...ARM64, reference)
    t.match(again, [{ result: 'up to date' }])
    t.match(await ask(engine, 'load_compressed_tars', dir), [{ result: 'already loaded' }])
  }
})

t.test('trailing bytes: this engine goes when it has the end of a tar', async (t) => {
  const { archive } = dockerArchive({
    layers: [tar([GREETING]), tar([{ path: 'data', content: pseudoRandom('data', 1_200_000) }])],
    tags: ['followed/by:1.0'],
    layout: 'legacy',
  })
  const dir = t.testdir({ 'followed.tar': Buffer.concat([archive, Buffer.alloc(4_000_000)]) })
  await ask(far, 'compress_tars', dir, '--level', '0')
  for (const what of ['with metadata', 'without one']) {
    t.match(await ask(far, 'load_compressed_tars', dir), [{ result: 'loaded' }], what)
    await removeImages(far)
    await rm(join(dir, 'followed.tar.xz.json'), { force: true })
  }
  await writeFile(join(dir, 'SHA256SUMS'), `${'0'.repeat(64)}  followed.tar.xz\n`)
  t.match(await ask(far, 'load_compressed_tars', dir), [
    { result: 'failed', error: { code: 'MISMATCH' } },
  ])
  t.equal(await far.docker('image', 'ls', '--quiet', '--all'), '', 'the engine has nothing')
})

t.test('same layers: another image of the time that a builder gives all of them', async (t) => {
  const build = (name: string) =>
    dockerArchive({
      layers: [tar([GREETING])],
      tags: ['re/produced:1.0'],
      layout: 'legacy',
      created: '1970-01-01T00:00:00Z',
      config: { Labels: { name } },
    }).archive
  const dir = t.testdir({ 'one.tar': build('one'), 'two.tar': build('two') })
  await ask(far, 'compress_tars', dir, '--level', '0')
  const label = () => inspect(far, 're/produced:1.0', '{{index .Config.Labels "name"}}')
  for (const name of ['one', 'two']) {
    t.match(await ask(far, 'load_compressed_tars', dir, `${name}.tar.xz`), [{ result: 'loaded' }])
    t.equal(await label(), name)
  }
})

t.test('platform: another one than the own is saved without being named', async (t) => {
  const dir = t.testdir()
  await near.docker('pull', '--quiet', ...ARM64, reference)
  const saved = await ask(near, 'save_compressed_tars', dir, '--no-pull', reference)
  t.match(saved, [{ result: 'saved' }])
  t.match((await recordOf(dir, archiveOf(arm64))).images, [{ platform: 'linux/arm64' }])
})

t.test('platform: one tag for two of them gives an archive of each', async (t) => {
  const dirs = t.testdir({ own: {}, other: {} })
  const own = join(dirs, 'own')
  const other = join(dirs, 'other')
  t.match(await ask(near, 'save_compressed_tars', own, reference), [{ result: 'saved' }])
  t.match(await ask(near, 'save_compressed_tars', other, ...ARM64, reference), [
    { result: 'saved' },
  ])
  const index = await inspect(near, reference, '{{.Id}}')
  for (const [dir, image, args] of [
    [own, amd64, []],
    [other, arm64, ARM64],
  ] as const) {
    const { images } = await recordOf(dir, archiveOf(image))
    const { manifestDigest, configDigest } = image
    t.match(images, [
      {
        manifests: [{ digest: manifestDigest }, { digest: index }],
        config: { digest: configDigest },
      },
    ])
    const again = await ask(near, 'save_compressed_tars', dir, '--no-pull', ...args, reference)
    t.match(again, [{ result: 'up to date' }])
    t.match(await ask(near, 'verify_checksums', dir), OF_ENGINE)
    t.match(await ask(near, 'load_compressed_tars', dir), [{ result: 'already loaded', notes: [] }])
  }
})

t.test('platform: one that the tag does not have is told', async (t) => {
  await near.docker('pull', '--quiet', reference)
  const args = ['--no-pull', ...ARM64, reference]
  t.match(await ask(near, 'save_compressed_tars', t.testdir(), ...args), [
    {
      result: 'failed',
      error: { code: 'WRONG_PLATFORM', message: /got linux\/amd64, want linux\/arm64/ },
    },
  ])
})

t.test('same layers: another build of them is loaded, and told', async (t) => {
  const dir = t.testdir()
  const name = 'sample/env:1.0'
  await older.docker('pull', '--quiet', reference)
  for (const value of ['first', 'second']) {
    const build = `printf 'FROM ${reference}\\nENV BUILD=${value}\\n' | docker build -q -t ${name} -`
    await sh(build, { env: { ...older.env, DOCKER_BUILDKIT: '0' } })
    t.match(await ask(older, 'save_compressed_tars', dir, '--no-pull', name), [{ result: 'saved' }])
    const notes = value === 'first' ? [] : [/^sample\/env:1\.0 was sha256:\S+ before$/]
    t.match(await ask(far, 'load_compressed_tars', dir), [{ result: 'loaded', notes }])
    t.match(await inspect(far, name, '{{.Config.Env}}'), `BUILD=${value}`)
    t.equal(await inspect(far, name, '{{.RootFS.Layers}}'), `[${amd64.diffIds.join(' ')}]`)
    t.match(await ask(far, 'load_compressed_tars', dir), [{ result: 'already loaded' }])
  }
})

t.test('no tag: what was pulled by digest loads and verifies by its ID', async (t) => {
  const dir = t.testdir()
  await near.docker('pull', '--quiet', reference)
  const index = /sha256:[0-9a-f]+/.exec(await inspect(near, reference, '{{.RepoDigests}}'))?.[0]
  await removeImages(near)
  const byDigest = `${repository}@${index}`
  t.match(await ask(near, 'save_compressed_tars', dir, byDigest), [{ result: 'saved' }])
  t.match(await ask(near, 'verify_checksums', dir), OF_ENGINE)
  for (const [engine, id] of [
    [older, amd64.configDigest],
    [far, amd64.manifestDigest],
  ] as const) {
    const notes = [`it has no tag: use it by its ID, ${id}`]
    t.match(await ask(engine, 'load_compressed_tars', dir), [{ result: 'loaded', notes }])
    t.equal(await inspect(engine, id, '{{.Architecture}}'), 'amd64')
    t.match(await ask(engine, 'load_compressed_tars', dir), [{ result: 'already loaded' }])
    t.match(await ask(engine, 'verify_checksums', dir, '--against', 'engine'), [
      { result: 'verified' },
    ])
  }
})

t.test('no tag: archives of the plain pipeline load by what is their ID', async (t) => {
  const dir = t.testdir()
  await near.docker('pull', '--quiet', reference)
  await near.docker('pull', '--quiet', ...ARM64, reference)
  const index = await inspect(near, reference, '{{.Id}}')
  await sh(`docker save ${index} | xz -0 >index.tar.xz`, { cwd: dir, env: near.env })
  const [answer] = await ask(far, 'load_compressed_tars', dir, 'index.tar.xz')
  t.match(answer, { result: 'loaded', notes: [/metadata/, RegExp(`no tag: .*, ${index}$`)] })
})

t.test('no tag: an archive of an older engine loads by the ID that it gets', async (t) => {
  const dir = t.testdir()
  const { archive, diffIds } = dockerArchive({
    layers: [tar([GREETING])],
    tags: [],
    layout: 'legacy',
  })
  await mkdir(join(dir, 'tars'))
  await writeFile(join(dir, 'tars', 'old.tar'), archive)
  await ask(far, 'compress_tars', dir, 'tars/old.tar', '--level', '0')
  const [answer] = await ask(far, 'load_compressed_tars', dir)
  t.match(answer, { result: 'loaded', notes: [/^it has no tag: use it by its ID, sha256:/] })
  const id = answer?.notes[0]?.split(', ')[1] ?? ''
  t.strictSame(JSON.parse(await inspect(far, id, '{{json .RootFS.Layers}}')), diffIds)
  t.match(await ask(far, 'load_compressed_tars', dir), [{ result: 'already loaded' }])
})
