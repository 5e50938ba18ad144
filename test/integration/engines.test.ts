// From every engine to every other one: what one saved is whole in all of them,
// however they keep and lay out an image.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startEngine, type EngineClient } from '../fixtures/docker-engine.ts'
import { startNewerEngine } from '../fixtures/newer-engine.ts'
import { startPodman } from '../fixtures/podman-engine.ts'
import { startRegistry } from '../fixtures/registry.ts'
import { run, sh, type Program } from '../fixtures/run.ts'
import { buildImages, type SampleImage } from '../fixtures/sample-images.ts'
import { readAnswers, recordOf, removeImages, archiveOf } from '../fixtures/workbench.ts'

interface Place {
  readonly label: string
  readonly engine: EngineClient
}

const starts: Record<string, () => Promise<EngineClient>> = {
  "the machine's Docker": () => startEngine(),
  'Docker 28, graph driver': () => startNewerEngine('graph driver'),
  'Docker 28, containerd store': () => startNewerEngine('containerd'),
  podman: startPodman,
}
const places = await Promise.all(
  Object.entries(starts).map(async ([label, start]): Promise<Place> => {
    const engine = await start()
    t.teardown(engine.stop)
    return { label, engine }
  }),
)
const registry = await startRegistry()
t.teardown(registry.stop)
const builder = await startEngine()
const built = await buildImages(builder, registry)
await builder.stop()
// Shared layers, odd files, a repeated and an empty layer.
const images = built.filter(({ repository }) => /(base|app|repeated)$/.test(repository))
const references = images.map((image) => image.reference)

const carries = t.testdir(
  Object.fromEntries(
    places.map(({ label }) => [label, { 'images_list.txt': references.join('\n') }]),
  ),
)

for (const near of places) {
  const carry = join(carries, near.label)

  t.test(`${near.label}: pulls, saves and verifies`, async (t) => {
    t.match(
      await ask(near, 'save_compressed_tars', carry, '--level', '1'),
      images.map(() => ({ result: 'saved', notes: [] })),
    )
    t.match(
      await ask(near, 'verify_checksums', carry, '--against', 'engine'),
      images.map(() => ({ result: 'verified', notes: ['checked against the engine'] })),
    )
    t.match(
      await ask(near, 'save_compressed_tars', carry, '--level', '1'),
      images.map(() => ({ result: 'up to date' })),
    )
    for (const image of images) {
      const [recorded] = (await recordOf(carry, archiveOf(image))).images
      t.equal(recorded?.configDigest, image.configDigest)
    }
    await removeImages(near.engine)
  })

  for (const far of places.filter((place) => place !== near)) {
    t.test(`${near.label} → ${far.label}`, async (t) => {
      t.match(
        await ask(far, 'load_compressed_tars', carry),
        images.map(() => ({ result: 'loaded', notes: [] })),
      )
      t.match(
        await ask(far, 'load_compressed_tars', carry),
        images.map(() => ({ result: 'already loaded', notes: [] })),
      )
      for (const image of images) await checkImage(t, far, image)
      t.match(
        await ask(far, 'verify_checksums', carry, '--against', 'engine'),
        images.map(() => ({ result: 'verified', notes: [/against the engine|out differently/] })),
      )
      await removeImages(far.engine)
    })
  }
}

async function ask({ engine }: Place, program: Program, cwd: string, ...args: string[]) {
  const all = [...args, '--engine', engine.name, '--json']
  return readAnswers(await run(program, all, { cwd, env: engine.env }))
}

async function checkImage(t: Test, { engine }: Place, image: SampleImage): Promise<void> {
  const { docker, env, name } = engine
  const format = '{{json .RootFS.Layers}}'
  const layers = await docker('image', 'inspect', '--format', format, image.reference)
  t.strictSame(JSON.parse(layers), image.diffIds, image.reference)
  const container = await docker('create', '--network=none', image.reference)
  const found = t.testdir()
  await sh(`${name} export ${container} | tar x --no-same-owner`, { cwd: found, env })
  for (const [path, content] of Object.entries(image.files)) {
    t.ok(content.equals(await readFile(join(found, path))), `${image.reference} ${path}`)
  }
  await docker('rm', container)
}
