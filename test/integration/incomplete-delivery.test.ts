// SHA256SUMS is the manifest of a delivery: what it lists and is not there is
// told by each program, and what our own runs leave is complete.
import { readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { start } from '../fixtures/run.ts'
import { buildImage, dataLayer, type SampleImage } from '../fixtures/sample-images.ts'
import { GREETING } from '../fixtures/sample-layers.ts'
import { tar } from '../fixtures/tar-builder.ts'
import { archiveOf, readAnswers, setUp, until } from '../fixtures/workbench.ts'

const SAVE = 'save_compressed_tars'
const LOAD = 'load_compressed_tars'
const VERIFY = 'verify_checksums'
const COMPRESS = 'compress_tars'

const bench = await setUp(t)
const images: SampleImage[] = []
for (const name of ['one', 'two', 'three', 'four']) {
  const layers = [[GREETING], dataLayer(name)]
  images.push(
    await buildImage(bench.engine, bench.registry, { name: `sample/${name}:1.0`, layers }),
  )
}
const references = images.map(({ reference }) => reference)
const [lost = '', ...others] = references
const archive = archiveOf({ reference: lost })
const full = t.testdir({})
await bench.run(SAVE, full, '--level', '0', ...references)

async function deliver(name: string): Promise<string> {
  const dir = join(full, name)
  await bench.sh(full, `mkdir ${name} && cp *.xz *.json SHA256SUMS ${name}`)
  return dir
}

const CHECK = 'sha256sum --strict --quiet -c SHA256SUMS'
const UNKNOWN = { result: 'failed', image: archive, error: { code: 'NO_ARCHIVE' } }

t.test('one archive of four is gone: verify, --quick, --list and load say so', async (t) => {
  const dir = await deliver('archive')
  await rm(join(dir, archive))
  const message = `"${archive}" is missing: SHA256SUMS lists it`
  for (const args of [[], ['--quick'], ['--against', 'record'], ['--dry-run'], ['--list']]) {
    const result = await bench.run(VERIFY, dir, ...args)
    t.equal(result.status, 1, args.join(' '))
    t.notMatch(result.stdout, 'Done!')
    t.equal(result.stderr.split(`${VERIFY}: error: ${message}\n`).length, 2, 'once')
  }
  const listed = await bench.run(VERIFY, dir, '--list')
  t.match(listed.stdout, new RegExp(`^${archive} .* missing `, 'm'))
  const answers = await bench.ask(VERIFY, dir, '--list')
  t.match(
    answers.filter(({ result }) => result === 'failed'),
    [UNKNOWN],
  )

  await bench.removeImages()
  const loaded = await bench.run(LOAD, dir)
  t.equal(loaded.status, 1)
  t.match(loaded.stderr, `${LOAD}: warning: ${message}\n`)
  t.notMatch(loaded.stdout, 'Done!')
  for (const reference of others) {
    await t.resolves(bench.engine.docker('image', 'inspect', reference), 'the others are loaded')
  }
  t.match(readAnswers(await bench.run(LOAD, dir, '--json')).at(-1), UNKNOWN)

  for (const program of [VERIFY, LOAD] as const) {
    t.match(await bench.run(program, dir, ...others), { status: 0 }, 'those named are all there')
  }
})

t.test('an image of the list that is gone is told once, by its name', async (t) => {
  const dir = await deliver('listed')
  await writeFile(join(dir, 'images_list.txt'), references.join('\n'))
  await bench.sh(dir, 'sha256sum images_list.txt >>SHA256SUMS')
  await rm(join(dir, archive))
  await rm(join(dir, `${archive}.json`))
  for (const program of [VERIFY, LOAD] as const) {
    const failed = (await bench.ask(program, dir)).filter(({ result }) => result === 'failed')
    t.match(failed, [{ image: lost, archive, error: { code: 'NO_ARCHIVE' } }])
    t.equal(failed.length, 1)
  }
})

t.test('metadata that is gone, and metadata that is alone', async (t) => {
  const dir = await deliver('metadata')
  await rm(join(dir, `${archive}.json`))
  await bench.sh(dir, `cp ${archiveOf({ reference: others[0] ?? '' })}.json alone.tar.xz.json`)
  const alone = { image: 'alone.tar.xz.json', result: 'failed', error: { code: 'NO_ARCHIVE' } }
  for (const args of [[], ['--quick']]) {
    const failed = (await bench.ask(VERIFY, dir, ...args)).filter(
      ({ result }) => result === 'failed',
    )
    t.match(failed, [{ image: archive, error: { code: 'NO_RECORD' } }, alone])
  }
  const failed = (await bench.ask(LOAD, dir, '--force')).filter(({ result }) => result === 'failed')
  t.match(failed, [{ image: `${archive}.json`, error: { code: 'NO_RECORD' } }, alone])
})

t.test('all archives are gone: each is told', async (t) => {
  const dir = await deliver('all')
  await bench.sh(dir, 'rm *.xz *.json')
  for (const [program, ...args] of [[VERIFY], [VERIFY, '--list'], [LOAD]] as const) {
    const answers = await bench.ask(program, dir, ...args)
    t.equal(
      answers.filter(({ result }) => result === 'failed').length,
      8,
      [program, ...args].join(' '),
    )
  }
})

t.test('save, compress: drop lines of what somebody removed, saying so', async (t) => {
  const dir = await deliver('dropped')
  await writeFile(join(dir, 'a.tar'), tar([GREETING]))
  const text = (name: string) =>
    `warning: "${name}" is not there any more: its line in SHA256SUMS is dropped`
  await bench.sh(dir, `rm ${archive} ${archive}.json`)
  const saved = await bench.run(SAVE, dir, '--level', '0', ...others)
  t.equal(saved.status, 0)
  t.match(saved.stderr, text(archive))
  t.match(saved.stderr, text(`${archive}.json`))
  await t.resolves(bench.sh(dir, CHECK))
  await bench.sh(dir, `rm ${archiveOf({ reference: others[0] ?? '' })}*`)
  const compressed = await bench.run(COMPRESS, dir)
  t.equal(compressed.status, 0)
  t.match(compressed.stderr, text(archiveOf({ reference: others[0] ?? '' })))
  await t.resolves(bench.sh(dir, CHECK))
  t.match(await bench.run(VERIFY, dir), { status: 0 })
})

t.test('--forget: takes an image out, and a tar', async (t) => {
  const dir = await deliver('forgotten')
  await writeFile(join(dir, 'a.tar'), tar([GREETING]))
  await bench.run(COMPRESS, dir)
  const foreseen = await bench.run(SAVE, dir, '--forget', lost, '--dry-run')
  t.match(foreseen, { status: 0, stdout: `Would be forgotten: ${lost} (${archive})` })
  const result = await bench.run(SAVE, dir, '--forget', lost, '--forget', 'none:1')
  t.equal(result.status, 1)
  t.match(result.stdout, `Forgotten: ${lost} (${archive})\n`)
  t.match(result.stderr, `${SAVE}: failed: none:1: forget "none:1": "." has no archive of it`)
  t.notMatch(result.stdout, /Pulling|Saving/)
  await t.resolves(bench.sh(dir, CHECK))
  t.match(await bench.ask(COMPRESS, dir, '--forget', 'a.tar'), [
    { image: 'a.tar', archive: 'a.tar.xz', result: 'forgotten' },
  ])
  await t.resolves(bench.sh(dir, CHECK))
  const names = others.flatMap((reference) => {
    const name = archiveOf({ reference })
    return [name, `${name}.json`]
  })
  t.strictSame((await readdir(dir)).toSorted(), [...names, 'SHA256SUMS', 'a.tar'].toSorted())
  t.match(await bench.run(VERIFY, dir), { status: 0 })
  t.match(await bench.run(SAVE, dir, '--forget', lost, others[0] ?? ''), { status: 2 })
})

for (const signal of ['SIGINT', 'SIGKILL'] as const) {
  t.test(`${signal}, and the next run: SHA256SUMS is complete`, async (t) => {
    const dir = await deliver(signal)
    const running = start(SAVE, ['--level', '9', ...references], {
      cwd: dir,
      env: bench.engine.env,
    })
    await until('a temporary file', async () =>
      (await readdir(dir)).some((name) => name.endsWith('.tmp')),
    )
    running.signalGroup(signal)
    await running.done
    if (signal === 'SIGINT') await t.resolves(bench.sh(dir, CHECK))
    t.match(await bench.run(SAVE, dir, '--level', '0', ...references), { status: 0 })
    await t.resolves(bench.sh(dir, CHECK))
    t.match(await bench.run(VERIFY, dir), { status: 0 })
  })
}
