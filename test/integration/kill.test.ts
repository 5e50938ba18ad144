// Power off in the middle of a save: whatever lies in the delivery is
// whole, and the next run goes on from there.
import { watch } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as fc from 'fast-check'
import t, { type Test } from 'tap'

import { parseMetadata, type ArchiveMetadata } from '../../lib/delivery/metadata.ts'
import { isPendingName } from '../../lib/io/atomic-file.ts'
import { hexOf, sha256 as sha256Of } from '../fixtures/digest.ts'
import { sh, type Running } from '../fixtures/run.ts'
import { GREETING, buildImage, dataLayer } from '../fixtures/sample-images.ts'
import { SEED, choose } from '../fixtures/seed.ts'
import { archiveOf, recordOf, setUp, snapshot } from '../fixtures/workbench.ts'

t.comment(`TEST_SEED=${SEED} repeats these moments`)

const KILLS = 15
const { engine, registry, ...bench } = await setUp(t)
const images = [
  await buildImage(engine, registry, { name: 'sample/data:1.0', layers: [dataLayer('data')] }),
  await buildImage(engine, registry, { name: 'sample/tiny:1.0', layers: [[GREETING]] }),
]
const references = images.map((image) => image.reference)
const dir = t.testdir({})

// Each run replaces the archives of the one before by those of another level,
// so that there is an old archive, and its metadata, to be lost at any moment.
let level = 0
const startSave = (): Running =>
  bench.start('save_compressed_tars', dir, '--level', `${level}`, ...references)

/** The sha256 of the tar in each archive. */
const tars = new Map<string, string>()
let elapsedMs = 0
let changes = 0

t.test('kill: runs that nobody kills tell what is whole, and how long it takes', async (t) => {
  await startSave().done
  level = 1
  const watched = watchNames(() => changes++)
  const start = performance.now()
  t.match(await startSave().done, { status: 0 })
  elapsedMs = performance.now() - start
  watched.close()
  for (const image of images) {
    const archive = archiveOf(image)
    tars.set(archive, await tarSha256(archive))
    const content = await bench.sh(dir, `docker save ${image.reference} | tar xO | md5sum`)
    t.equal(await bench.sh(dir, `xz -dc '${archive}' | tar xO | md5sum`), content, archive)
  }
  t.ok(changes > images.length * 3, `${changes} changes of names in ${Math.round(elapsedMs)} ms`)
})

t.test(`kill: ${KILLS} moments of the whole run leave whole archives`, async (t) => {
  const shares = choose(fc.double({ min: 0, max: 1, noNaN: true }), KILLS)
  for (let killed = 0; killed < KILLS;) {
    level = 1 - level
    const ms = ((killed + (shares[killed] ?? 0)) / KILLS) * elapsedMs
    const start = performance.now()
    const running = startSave()
    const timer = setTimeout(() => running.signalGroup('SIGKILL'), ms)
    const { signal } = await running.done
    clearTimeout(timer)
    if (signal !== 'SIGKILL') {
      // It was faster than the one that was measured.
      elapsedMs = performance.now() - start
      continue
    }
    killed++
    await checkDirectory(t, `killed after ${Math.round(ms)} of ${Math.round(elapsedMs)} ms`)
    await checkNextRun(t)
  }
  await verifyAll(t)
})

t.test(`kill: ${KILLS} moments at which names change leave whole archives`, async (t) => {
  const moments = choose(fc.integer({ min: 1, max: changes }), 4 * KILLS)
  for (let killed = 0; killed < KILLS;) {
    level = 1 - level
    const at = moments.shift() ?? 1
    const running = startSave()
    let seen = 0
    const watched = watchNames(() => ++seen === at && running.signalGroup('SIGKILL'))
    const { signal } = await running.done
    watched.close()
    if (signal !== 'SIGKILL') continue
    killed++
    await checkDirectory(t, `killed at change ${at} of ${changes}`)
    await checkNextRun(t)
  }
  await verifyAll(t)
})

/** Tells of each name that comes, goes or changes. */
function watchNames(onChange: () => void): { close: () => void } {
  return watch(dir, (event) => {
    if (event === 'rename') onChange()
  })
}

async function tarSha256(archive: string): Promise<string> {
  return sh(`xz -dc '${archive}' | sha256sum`, { cwd: dir })
}

/** @param isFinished - whether nothing may be pending: a kill can fall between an archive and its metadata */
async function checkDirectory(t: Test, when: string, isFinished = false): Promise<void> {
  const names = await readdir(dir)
  const archives = names.filter((name) => name.endsWith('.tar.xz'))
  const sums = await snapshot(dir)
  const pending = isFinished ? [] : await readPending(names)
  for (const archive of archives) {
    t.equal(await tarSha256(archive), tars.get(archive), `${when}: ${archive} is whole`)
    const metadata = [...pending, ...(await recordsOf(names, archive))].filter(
      ({ archive: { file } }) => file === archive,
    )
    t.ok(
      metadata.some((each) => sums[archive]?.includes(each.archive.sha256)),
      `${when}: the metadata of ${archive} is there, in place or pending`,
    )
  }
  const alone = names.filter((name) => name.endsWith('.json') && !names.includes(name.slice(0, -5)))
  t.same(alone, [], `${when}: no metadata without its archive`)
  if (pending.length > 0) return
  if (names.includes('SHA256SUMS') && (await readFile(join(dir, 'SHA256SUMS'), 'utf8')) !== '') {
    await t.resolves(
      sh('sha256sum --check --strict SHA256SUMS', { cwd: dir }),
      `${when}: SHA256SUMS`,
    )
  }
}

async function recordsOf(names: readonly string[], archive: string): Promise<ArchiveMetadata[]> {
  return names.includes(`${archive}.json`) ? [await recordOf(dir, archive)] : []
}

/** The pending metadata of archives that are in place already. */
async function readPending(names: readonly string[]): Promise<ArchiveMetadata[]> {
  const found: ArchiveMetadata[] = []
  for (const name of names.filter(isPendingName)) {
    const text = await readFile(join(dir, name), 'utf8')
    // It may have been killed while it wrote that, long before the archive was in place.
    if (!text.endsWith('}\n')) continue
    const metadata = parseMetadata(text, name)
    const { file, sha256 } = metadata.archive
    if (names.includes(file) && hexOf(sha256Of(await readFile(join(dir, file)))) === sha256) {
      found.push(metadata)
    }
  }
  return found
}

async function checkNextRun(t: Test): Promise<void> {
  t.match(await startSave().done, { status: 0 }, 'the next run completes')
  const names = [...tars.keys()].flatMap((archive) => [archive, `${archive}.json`])
  t.same(
    (await readdir(dir)).toSorted(),
    ['SHA256SUMS', ...names].toSorted(),
    'nothing else is left',
  )
  await checkDirectory(t, 'after the next run', true)
}

async function verifyAll(t: Test): Promise<void> {
  const verified = await bench.run('verify_checksums', dir, '--against', 'record')
  t.match(verified, { status: 0 }, 'what the last run left is verified')
}
