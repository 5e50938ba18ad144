// The way of all images: registry → delivery → another place, and what
// the programs print on it.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { buildImages } from '../fixtures/sample-images.ts'
import { archiveOf, readAnswers, setUp, snapshot } from '../fixtures/workbench.ts'

const bench = await setUp(t)
const { docker } = bench.engine
const images = await buildImages(bench.engine, bench.registry)
const references = images.map((image) => image.reference)
const carry = t.testdir({ 'images_list.txt': `# to carry\n\n${references.join('\r\n')}\n` })

t.test('dry run: no program changes anything', async (t) => {
  const dir = t.testdir({ 'images_list.txt': references.slice(-1).join('\n') })
  const [reference = ''] = references.slice(-1)
  const unchanged = async (program: Parameters<typeof bench.run>[0], result: string) => {
    const before = [await snapshot(dir), await bench.listImages()]
    const answers = await bench.ask(program, dir, '--dry-run')
    t.equal(answers[0]?.result, result, program)
    t.strictSame([await snapshot(dir), await bench.listImages()], before, `after ${program}`)
  }
  await bench.removeImages()
  await unchanged('save_compressed_tars', 'would be saved')
  t.equal((await bench.run('save_compressed_tars', dir)).status, 0)
  await unchanged('save_compressed_tars', 'up to date')
  await unchanged('verify_checksums', 'would be verified')
  await docker('image', 'save', '--output', join(dir, 'other.tar'), reference)
  await unchanged('compress_tars', 'would be compressed')
  await bench.removeImages()
  await unchanged('load_compressed_tars', 'would be loaded')
})

t.test('save: pulls and saves every image of the list', async (t) => {
  const { status, stdout } = await bench.run('save_compressed_tars', carry)
  t.equal(status, 0)
  const lines = stdout.split('\n')
  for (const image of images) {
    t.ok(lines.includes(`Pulling ${image.reference}...`), `Pulling ${image.reference}...`)
    t.ok(lines.includes(`Saving ${archiveOf(image)}...`), `Saving ${archiveOf(image)}...`)
  }
  t.match(stdout, /\nElapsed time \d+ minutes and \d+ seconds\nDone!\n$/)
})

t.test('save: sha256sum finds archives and metadata as listed', async (t) => {
  const checked = await bench.sh(carry, 'sha256sum --strict -c SHA256SUMS')
  const files = images.flatMap((image) => [archiveOf(image), `${archiveOf(image)}.json`])
  const names = [...files, 'images_list.txt']
  t.strictSame(checked.split('\n').toSorted(), names.map((name) => `${name}: OK`).toSorted())
})

t.test('verify: against the engine both md5 are those of docker save', async (t) => {
  const { status, stdout } = await bench.run('verify_checksums', carry)
  t.equal(status, 0)
  for (const { reference } of images) {
    const md5 = await bench.sh(carry, `docker save ${reference} | tar xO | md5sum`)
    const lines = `Checking ${reference}...\n${md5}\n${md5}\nOK (checked against the engine)\n`
    t.ok(stdout.includes(lines), reference)
  }
  t.match(stdout, /\nElapsed time \d+ minutes and \d+ seconds\nDone!\n$/)
})

t.test('verify: without any image the metadata verify the archives', async (t) => {
  await bench.removeImages()
  const { status, stdout } = await bench.run('verify_checksums', carry)
  t.equal(status, 0)
  for (const { reference } of images) {
    const start = stdout.indexOf(`Checking ${reference}...\n`)
    const [, expected, archive, verdict] = stdout.slice(start).split('\n')
    t.match(expected, /^[0-9a-f]{32} {2}-$/)
    t.equal(archive, expected)
    t.equal(verdict, 'OK (checked against its metadata)', reference)
  }
})

t.test('load: brings back every image as it was', async (t) => {
  const { status, stdout } = await bench.run('load_compressed_tars', carry)
  t.equal(status, 0)
  for (const image of images) {
    t.ok(stdout.includes(`Loading ${archiveOf(image)}...\n`), `Loading ${archiveOf(image)}...`)
    const id = await docker('image', 'inspect', '--format', '{{.Id}}', image.reference)
    t.equal(id, image.configDigest, image.reference)
  }
  t.match(stdout, /\nElapsed time \d+ minutes and \d+ seconds\nDone!\n$/)
})

t.test('load: what was loaded runs', async (t) => {
  const [base] = references
  const output = await docker('run', '--rm', '--network=none', base ?? '')
  t.equal(output, 'carried over the air gap')
})

t.test('load: every file inside is as it was', async (t) => {
  for (const { reference, files } of images) {
    const container = await docker('create', '--network=none', reference)
    const found = t.testdir()
    await bench.sh(found, `docker export ${container} | tar x --no-same-owner`)
    for (const [path, content] of Object.entries(files)) {
      await writeFile(join(found, 'expected'), content)
      await bench.sh(found, `cmp '${path}' expected`)
      t.pass(`${reference} ${path}`)
    }
    await docker('rm', container)
  }
})

t.test('load: what is there is not loaded again', async (t) => {
  const { status, stdout } = await bench.run('load_compressed_tars', carry)
  t.equal(status, 0)
  t.notMatch(stdout, 'Loading')
  for (const reference of references) t.match(stdout, `Already loaded: ${reference}\n`)
})

t.test('compress: prints the lines of the original scripts', async (t) => {
  const dir = t.testdir()
  await docker('image', 'save', '--output', join(dir, 'base.tar'), references[0] ?? '')
  const { status, stdout } = await bench.run('compress_tars', dir, '--level', '1')
  t.equal(status, 0)
  t.match(stdout, /^Compressing base\.tar\.\.\.\n/)
  t.match(stdout, /\nElapsed time \d+ minutes and \d+ seconds\nDone!\n$/)
})

t.test('json: stdout has one object for each image and nothing else', async (t) => {
  for (const [program, want] of [
    ['save_compressed_tars', 'up to date'],
    ['verify_checksums', 'verified'],
    ['load_compressed_tars', 'already loaded'],
  ] as const) {
    const run = await bench.run(program, carry, '--json')
    const answers = readAnswers(run)
    t.strictSame(
      answers.map(({ image, archive, result }) => ({ image, archive, result })),
      images.map((image) => ({ image: image.reference, archive: archiveOf(image), result: want })),
      program,
    )
    t.match(run.stderr, /Elapsed time .*\nDone!\n/, `${program} tells people on stderr`)
  }
})
