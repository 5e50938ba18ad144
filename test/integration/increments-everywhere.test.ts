// An increment from every engine into every other one: what it lacks stays in a
// graph-driver store, and is put back from earlier archives for the others.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'

import { sha256 } from '../fixtures/digest.ts'
import { startEngine } from '../fixtures/docker-engine.ts'
import { askAt, checkImage, startEveryEngine, type Place } from '../fixtures/every-engine.ts'
import { startRegistry } from '../fixtures/registry.ts'
import { buildImage, GREETING, pseudoRandom, type SampleImage } from '../fixtures/sample-images.ts'
import type { TarEntry } from '../fixtures/tar-builder.ts'
import { archiveOf, incrementOf, recordOf, removeImages } from '../fixtures/workbench.ts'

const places = await startEveryEngine(t)
const registry = await startRegistry()
t.teardown(registry.stop)
const builder = await startEngine()
// A containerd store has it as gzip, which shall not be too small for a segment;
// and no two are of one size, by which an older Docker's layers are told apart.
const layer = (seed: string): TarEntry[] => [
  { path: `data-${seed}`, content: pseudoRandom(seed, 1_400_000 + 10_000 * seed.length) },
]
const build = (name: string, ...seeds: string[]): Promise<SampleImage> =>
  buildImage(builder, registry, {
    name: `sample/${name}`,
    layers: [...seeds.map(layer), [GREETING]],
  })
const first = await build('tool:1', 'shared', 'old')
const second = await build('tool:2', 'shared', 'newer')
await builder.stop()

const months = Object.fromEntries(
  places.map(({ label }) => [
    label,
    {
      1: { 'images_list.txt': first.reference },
      2: { 'images_list.txt': second.reference },
      again: { 'images_list.txt': second.reference },
    },
  ]),
)
const carries = t.testdir(months)
const increment = incrementOf(archiveOf(second))

for (const near of places) {
  const dirOf = (name: string): string => join(carries, near.label, name)
  const [month1, month2, again] = [dirOf('1'), dirOf('2'), dirOf('again')]
  const level = ['--level', '1']

  t.test(`${near.label}: saves an increment, twice the same`, async (t) => {
    t.match(await askAt(near, 'save_compressed_tars', month1, ...level), [{ result: 'saved' }])
    const since = [...level, '--since', month1]
    t.match(await askAt(near, 'save_compressed_tars', month2, ...since), [
      { result: 'saved', archive: increment, leftOutBytes: Number },
    ])
    const { requires } = await recordOf(month2, increment)
    t.match(requires, [{ archive: archiveOf(first) }])
    // Its own tars may differ: moby#51364.
    const options = [...since, '--threads', '1', '--reuse', month2]
    t.match(await askAt(near, 'save_compressed_tars', again, ...options), [
      { result: 'saved', reusedBytes: Number },
    ])
    t.equal(await digest(again, increment), await digest(month2, increment))
    t.match(await askAt(near, 'save_compressed_tars', again, ...level), [
      { archive: archiveOf(second) },
    ])
    const full = await digest(again, archiveOf(second))
    t.match(await askAt(near, 'save_compressed_tars', again, ...level, '--force'), [
      { result: 'saved', reusedBytes: undefined },
    ])
    t.equal(await digest(again, archiveOf(second)), full, 'the archive in full')
  })

  t.test(`${near.label}: verifies an increment`, async (t) => {
    t.match(await askAt(near, 'verify_checksums', month2, '--against', 'engine'), [
      { result: 'verified' },
    ])
    const [wholly] = await askAt(near, 'verify_checksums', month2, '--base', month1)
    t.match(wholly, { result: 'verified' })
    t.match(wholly?.notes.join('; '), /layers of earlier archives are whole/)
    await removeImages(near.engine)
  })

  for (const far of places) {
    t.test(`${near.label} → ${far.label}`, async (t) => {
      // That they are missing depends on their digests only, plain or compressed.
      const tellsMissing = near === places[0] || near === far
      const load = (dir: string, ...args: string[]) =>
        askAt(far, 'load_compressed_tars', dir, ...args)
      // None of the layers.
      if (tellsMissing) {
        await refusesToLoad(t, far, month2)
        t.equal(await far.engine.docker('image', 'ls', '--all', '--quiet'), '', 'no image')
      }
      t.match(await load(month2, '--base', month1), [{ result: 'loaded', skippedBytes: undefined }])
      await checkImage(t, far, second)
      await removeImages(far.engine)
      // Those of the month before.
      if (far.skipsLayers) {
        t.match(await load(month1), [{ result: 'loaded' }])
        t.match(await load(month2), [{ result: 'loaded', skippedBytes: Number }])
        await checkImage(t, far, second)
      } else if (tellsMissing) {
        t.match(await load(month1), [{ result: 'loaded' }])
        await refusesToLoad(t, far, month2)
      }
      await removeImages(far.engine)
    })
  }
}

async function refusesToLoad(t: Test, far: Place, dir: string): Promise<void> {
  const { requires = [] } = await recordOf(dir, increment)
  const [answer] = await askAt(far, 'load_compressed_tars', dir)
  t.match(answer, { result: 'failed', error: { code: 'MISSING_LAYER', hint: /--base/ } })
  const message = answer?.error?.message ?? ''
  for (const required of requires) t.match(message, required.digest)
  t.match(message, archiveOf(first))
}

async function digest(dir: string, archive: string): Promise<string> {
  return sha256(await readFile(join(dir, archive)))
}
