// From every engine to every other one: what one saved is whole in all of them,
// however they keep and lay out an image.
import { join } from 'node:path'
import t from 'tap'

import { startEngine } from '../fixtures/docker-engine.ts'
import { askAt, checkImage, runAt, startEveryEngine } from '../fixtures/every-engine.ts'
import { startRegistry } from '../fixtures/registry.ts'
import { buildImages } from '../fixtures/sample-images.ts'
import { archiveOf, readAnswers, recordOf, removeImages } from '../fixtures/workbench.ts'

const places = await startEveryEngine(t)
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

for (const [index, near] of places.entries()) {
  const carry = join(carries, near.label)

  t.test(`${near.label}: pulls, saves and verifies`, async (t) => {
    t.match(
      await askAt(near, 'save_compressed_tars', carry, '--level', '1'),
      images.map(() => ({ result: 'saved', notes: [] })),
    )
    t.match(
      await askAt(near, 'verify_checksums', carry, '--against', 'engine'),
      images.map(() => ({ result: 'verified', notes: ['checked against the engine'] })),
    )
    t.match(
      await askAt(near, 'save_compressed_tars', carry, '--level', '1'),
      images.map(() => ({ result: 'up to date' })),
    )
    for (const image of images) {
      const [saved] = (await recordOf(carry, archiveOf(image))).images
      t.equal(saved?.config.digest, image.configDigest)
    }
    await removeImages(near.engine)
  })

  for (const far of places.filter((place) => place !== near)) {
    t.test(`${near.label} → ${far.label}`, async (t) => {
      // The second has layers of the first.
      const skipped = far.skipsLayers ? {} : { skippedBytes: undefined }
      const loaded = await runAt(far, 'load_compressed_tars', carry)
      t.match(
        readAnswers(loaded),
        images.map(() => ({ result: 'loaded', notes: [], ...skipped })),
      )
      t.notMatch(loaded.stderr, 'warning')
      t.match(
        await askAt(far, 'load_compressed_tars', carry),
        images.map(() => ({ result: 'already loaded', notes: [] })),
      )
      // All are verified; the files of what each has saved are looked at in one place.
      const isNext = far === places[(index + 1) % places.length]
      for (const image of isNext ? images : []) await checkImage(t, far, image)
      t.match(
        await askAt(far, 'verify_checksums', carry, '--against', 'engine'),
        images.map(() => ({ result: 'verified', notes: [/against the engine|out differently/] })),
      )
      await removeImages(far.engine)
    })
  }
}

t.test('by hand: newer engines read an archive of zst without any program', async (t) => {
  const [near, ...newer] = places
  const [image] = images
  if (!near || !image) throw new Error('no engine, or no image')
  const dir = t.testdir({ 'images_list.txt': image.reference })
  await askAt(near, 'save_compressed_tars', dir, '--format', 'zst')
  const archive = join(dir, archiveOf(image).replace(/xz$/, 'zst'))
  for (const { label, engine } of newer) {
    await engine.docker('load', '--input', archive)
    const names = await engine.docker('image', 'ls', '--format', '{{.Repository}}:{{.Tag}}')
    t.equal(names, image.reference, label)
    await removeImages(engine)
  }
})
