// Layers that a containerd store has compressed, stored plain: smaller archives
// of what every engine still takes for the same image.
import { createReadStream } from 'node:fs'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { zstdCompressSync } from 'node:zlib'
import t from 'tap'

import { manifestDigests } from '../../lib/image/descriptor.ts'
import { learnLayout, plainTar } from '../../lib/image/uncompress/tar.ts'
import { hexOf, sha256 } from '../fixtures/digest.ts'
import { startEngine, type Engine } from '../fixtures/docker-engine.ts'
import { startNewerEngine } from '../fixtures/newer-engine.ts'
import { describe, json, OCI, ociImage, ociIndex, ociTar } from '../fixtures/oci-tar.ts'
import { startRegistry } from '../fixtures/registry.ts'
import { run, type Program } from '../fixtures/run.ts'
import {
  ARCHITECTURE,
  buildImage,
  buildMultiPlatform,
  busyboxLayer,
  dataLayer,
} from '../fixtures/sample-images.ts'
import { tar } from '../fixtures/tar-builder.ts'
import {
  archiveOf,
  incrementOf,
  readAnswers,
  recordOf,
  removeImages,
} from '../fixtures/workbench.ts'

const [older, graph, near, far, registry] = await Promise.all([
  startEngine(),
  startNewerEngine('graph driver'),
  startNewerEngine('containerd'),
  startNewerEngine('containerd'),
  startRegistry(),
])
const engines = [older, graph, near, far]
t.teardown(() => Promise.all([...engines, registry].map(({ stop }) => stop())))
const twice = dataLayer('twice')
const layers = [await busyboxLayer(), dataLayer('base'), twice, [], twice]
const app = await buildImage(older, registry, { name: 'sample/app:1.0', layers })
const next = await buildImage(older, registry, {
  name: 'sample/app:2.0',
  layers: [...layers, dataLayer('next')],
})
const multi = await buildMultiPlatform(older, registry)
await removeImages(older)
t.afterEach(() => Promise.all(engines.map(removeImages)))

const ask = async ({ env }: Engine, program: Program, cwd: string, ...args: string[]) =>
  readAnswers(await run(program, [...args, '--json'], { cwd, env }))
const save = (engine: Engine, dir: string, ...args: string[]) =>
  ask(engine, 'save_compressed_tars', dir, '--level', '1', ...args)
const inspect = ({ docker }: Engine, name: string, format: string) =>
  docker('image', 'inspect', '--format', format, name)
const sha256OfFile = async (path: string) => sha256(await readFile(path))
const sizeOf = async (dir: string, archive: string) => (await stat(join(dir, archive))).size
const imageIn = async (dir: string, archive: string) => (await recordOf(dir, archive)).images[0]

t.test('recompress: a smaller archive, the same image in every store', async (t) => {
  const dirs = t.testdir({ as: {}, plain: {} })
  const dir = join(dirs, 'plain')
  const archive = archiveOf(app)
  t.match(await save(near, join(dirs, 'as'), app.reference), [{ result: 'saved', notes: [] }])
  const [answer] = await save(near, dir, '--recompress', app.reference)
  const note =
    /^its layers are stored uncompressed: a containerd store gives it the ID (sha256:\S+)$/
  t.match(answer, { result: 'saved', notes: [note] })
  const id = note.exec(answer?.notes[0] ?? '')?.[1]
  const [asIs, plain] = [await sizeOf(join(dirs, 'as'), archive), await sizeOf(dir, archive)]
  t.ok(plain < asIs, `${plain} bytes, not ${asIs}`)
  t.comment(`archive: ${asIs} bytes as it is, ${plain} recompressed`)
  const image = await imageIn(dir, archive)
  t.match(image, { recompressed: true, config: { digest: app.configDigest } })
  t.strictSame(
    image?.layers.map(({ diffId, digest }) => [diffId, digest]),
    app.diffIds.map((diffId) => [diffId, diffId]),
  )
  t.strictSame(image && manifestDigests(image), [id, app.manifestDigest])

  const differently =
    /^the engine lays it out differently: config digest and 5 layers are the same$/
  t.match(await ask(near, 'verify_checksums', dir), [{ result: 'verified', notes: [differently] }])
  t.match(await ask(near, 'load_compressed_tars', dir), [{ result: 'already loaded', notes: [] }])
  await near.docker('tag', app.reference, 'other/name:1')
  await near.docker('image', 'rm', app.reference)
  for (const engine of [older, graph, far]) {
    t.match(await ask(engine, 'load_compressed_tars', dir), [{ result: 'loaded', notes: [] }])
    const want = engine === far ? id : app.configDigest
    t.equal(await inspect(engine, app.reference, '{{.Id}}'), want)
    const diffIds = await inspect(engine, app.reference, '{{json .RootFS.Layers}}')
    t.strictSame(JSON.parse(diffIds), app.diffIds)
    t.match(await ask(engine, 'load_compressed_tars', dir), [{ result: 'already loaded' }])
    t.match(await ask(engine, 'verify_checksums', dir), [{ result: 'verified' }])
    t.ok(await engine.docker('create', '--network=none', app.reference))
    await engine.docker('container', 'prune', '--force')
  }
  t.match(await ask(far, 'verify_checksums', dir, '--against', 'record'), [{ result: 'verified' }])
})

t.test('recompress: up to date with the same choice, and the same bytes again', async (t) => {
  const dir = t.testdir()
  const archive = join(dir, archiveOf(app))
  await save(near, dir, '--recompress', app.reference)
  const first = await sha256OfFile(archive)
  t.match(await save(near, dir, '--recompress', app.reference), [{ result: 'up to date' }])
  t.match(await save(near, dir, '--recompress', '--dry-run', app.reference), [
    { result: 'up to date' },
  ])
  t.match(await save(near, dir, '--recompress', '--force', app.reference), [{ result: 'saved' }])
  t.equal(await sha256OfFile(archive), first)
  t.match(await save(near, dir, app.reference), [{ result: 'saved', notes: [] }])
  t.not(await sha256OfFile(archive), first)
  t.match(await save(near, dir, '--recompress', app.reference), [{ result: 'saved' }])
  t.equal(await sha256OfFile(archive), first)
})

t.test('recompress: nothing where layers are uncompressed', async (t) => {
  const dir = t.testdir()
  t.match(await save(graph, dir, '--recompress', app.reference), [{ result: 'saved', notes: [] }])
  t.notHas(await imageIn(dir, archiveOf(app)), { recompressed: true })
  for (const args of [['--recompress'], []]) {
    t.match(await save(graph, dir, ...args, app.reference), [{ result: 'up to date' }])
  }
  t.match(await ask(near, 'load_compressed_tars', dir), [{ result: 'loaded' }])
  const args = ['--no-pull', '--force', app.reference]
  t.match(await save(near, dir, '--recompress', ...args), [{ result: 'saved', notes: [] }])
  t.match(await save(near, dir, '--no-pull', app.reference), [{ result: 'up to date' }])
})

t.test('recompress: layers come from archives of a graph driver', async (t) => {
  const dirs = t.testdir({ graph: {}, near: {} })
  await save(graph, join(dirs, 'graph'), app.reference)
  const args = ['--recompress', '--reuse', '../graph', app.reference]
  const [answer] = await save(near, join(dirs, 'near'), ...args)
  t.match(answer, { result: 'saved' })
  t.ok((answer?.reusedBytes ?? 0) > 4_000_000, `${answer?.reusedBytes}`)
})

t.test('recompress: one platform of several', async (t) => {
  const dir = t.testdir()
  const [, arm64] = multi
  const args = ['--platform', 'linux/arm64', '--recompress', arm64.reference]
  const [answer] = await save(near, dir, ...args)
  t.match(answer, { result: 'saved', notes: [/^its layers are stored uncompressed/] })
  const { configDigest, manifestDigest } = arm64
  const image = await imageIn(dir, archiveOf(arm64))
  t.match(image, { platform: 'linux/arm64', config: { digest: configDigest } })
  t.ok(image?.manifests.some(({ digest }) => digest === manifestDigest))
  t.match(await save(near, dir, ...args), [{ result: 'up to date' }])
  t.match(await ask(near, 'verify_checksums', dir), [{ result: 'verified' }])
  for (const engine of [older, far]) {
    t.match(await ask(engine, 'load_compressed_tars', dir), [{ result: 'loaded', notes: [] }])
    t.equal(await inspect(engine, arm64.reference, '{{.Architecture}}'), 'arm64')
    t.match(await ask(engine, 'load_compressed_tars', dir), [{ result: 'already loaded' }])
  }
})

t.test('recompress: zstd, under an index with an attestation', async (t) => {
  const dir = t.testdir()
  const plain = [twice, dataLayer('zstd')].map((entries) => tar(entries))
  const image = ociImage(
    plain.map((layer) => ({
      blob: Buffer.concat(
        [layer.subarray(0, 999), layer.subarray(999)].map((part) => zstdCompressSync(part)),
      ),
      diffId: sha256(layer),
      mediaType: `${OCI}.layer.v1.tar+zstd`,
    })),
    ARCHITECTURE,
  )
  const statement = json({ subject: [{ digest: { sha256: hexOf(image.descriptor.digest) } }] })
  const mediaType = 'application/vnd.in-toto+json'
  const attestation = ociImage(
    [{ blob: statement, diffId: sha256(statement), mediaType }],
    'unknown',
  )
  const annotations = {
    'vnd.docker.reference.digest': image.descriptor.digest,
    'vnd.docker.reference.type': 'attestation-manifest',
  }
  const platform = { architecture: ARCHITECTURE, os: 'linux' }
  const index = ociIndex([
    { ...image.descriptor, platform },
    {
      ...attestation.descriptor,
      platform: { architecture: 'unknown', os: 'unknown' },
      annotations,
    },
  ])
  const named = {
    'io.containerd.image.name': 'docker.io/library/tool:1.0',
    'org.opencontainers.image.ref.name': '1.0',
  }
  const top = describe(index, `${OCI}.index.v1+json`, { annotations: named })
  const blobs = [...image.blobs, ...attestation.blobs, index]
  const file = join(near.dir, 'zstd.tar')
  await writeFile(file, ociTar(image, [top], blobs))
  await near.docker('load', '--input', file)
  const args = ['--no-pull', 'tool:1.0']
  const [answer] = await save(near, dir, '--recompress', ...args)
  t.match(answer, { result: 'saved', notes: [/^its layers are stored uncompressed/] })
  t.match(await imageIn(dir, 'tool-1.0.tar.xz'), {
    recompressed: true,
    config: { digest: sha256(image.config) },
  })
  t.match(await ask(near, 'verify_checksums', dir), [{ result: 'verified' }])

  // The engine saves one platform only; this is all of it, index and attestation too.
  const layout = await learnLayout(createReadStream(file))
  const changed = await buffer(
    plainTar(createReadStream(file), layout ?? { changes: new Map(), before: [] }),
  )
  await writeFile(file, changed)
  for (const engine of [older, graph, far]) {
    await engine.docker('load', '--input', file)
    const diffIds = await inspect(engine, 'tool:1.0', '{{json .RootFS.Layers}}')
    t.strictSame(JSON.parse(diffIds), plain.map(sha256))
    await removeImages(engine)
    t.match(await ask(engine, 'load_compressed_tars', dir), [{ result: 'loaded' }])
    t.match(await ask(engine, 'load_compressed_tars', dir), [{ result: 'already loaded' }])
    t.match(await ask(engine, 'verify_checksums', dir), [{ result: 'verified' }])
  }
})

t.test('recompress: no tag, loads by the ID that is told', async (t) => {
  const dir = t.testdir()
  const [, told] =
    (await save(near, dir, '--recompress', `${app.repository}@${app.manifestDigest}`))[0]?.notes ??
    []
  const id = /in a containerd store, (sha256:\S+)$/.exec(told ?? '')?.[1]
  t.not(id, app.manifestDigest)
  t.match(await ask(near, 'verify_checksums', dir), [{ result: 'verified' }])
  const notes = [`it has no tag: use it by its ID, ${id}`]
  t.match(await ask(far, 'load_compressed_tars', dir), [{ result: 'loaded', notes }])
  t.match(await ask(far, 'load_compressed_tars', dir), [{ result: 'already loaded' }])
})

t.test('recompress: increments leave out what went over in the same form', async (t) => {
  const root = t.testdir({ may: {}, plainMay: {}, full: {}, june: {} })
  const june = join(root, 'june')
  await save(near, join(root, 'may'), app.reference)
  await save(near, join(root, 'plainMay'), '--recompress', app.reference)
  const since = (dir: string) => ['--recompress', '--since', dir, next.reference]
  const [full] = await save(near, join(root, 'full'), ...since('../may'))
  t.match(full, { result: 'saved', archive: archiveOf(next) }, 'compressed ones are other bytes')
  const [increment] = await save(near, june, ...since('../plainMay'))
  t.match(increment, { result: 'saved', archive: incrementOf(archiveOf(next)) })
  t.ok((increment?.leftOutBytes ?? 0) > 4_000_000, `${increment?.leftOutBytes}`)
  t.match(await save(near, june, ...since('../plainMay')), [{ result: 'up to date' }])
  const base = ['--base', '../plainMay']
  t.match(await ask(near, 'verify_checksums', june, ...base), [{ result: 'verified' }])
  t.match(await ask(far, 'load_compressed_tars', june, ...base), [{ result: 'loaded' }])
  const diffIds = await inspect(far, next.reference, '{{json .RootFS.Layers}}')
  t.strictSame(JSON.parse(diffIds), next.diffIds)
})
