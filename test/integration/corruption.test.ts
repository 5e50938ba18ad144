// A byte that changed on the way: found by verify_checksums wherever it is, and
// never handed to the engine as an image.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as fc from 'fast-check'
import t, { type Test } from 'tap'

import { run, sh, type Program } from '../fixtures/run.ts'
import { GREETING, buildImage, dataLayer } from '../fixtures/sample-images.ts'
import { SEED, choose } from '../fixtures/seed.ts'
import {
  archiveOf,
  makePath,
  readAnswers,
  recordOf,
  setUp,
  type Answer,
} from '../fixtures/workbench.ts'

t.comment(`TEST_SEED=${SEED} repeats these corruptions`)

const { engine, registry, removeImages, listImages, ...bench } = await setUp(t)
const image = await buildImage(engine, registry, {
  name: 'sample/carried:1.0',
  layers: [[GREETING], dataLayer('carried')],
})
const root = t.testdir({ whole: {}, saved: {}, bare: {} })
const whole = join(root, 'whole')
const archive = archiveOf(image)
await bench.run('save_compressed_tars', whole, '--no-pull', image.reference)
await removeImages()

const onlyXz = ['sh', 'bash', 'dirname', 'readlink', 'docker', 'xz']
const COMPRESSORS = { pixz: {}, xz: { PATH: await makePath(join(root, 'only-xz'), onlyXz) } }

/** A byte, and what of it changes. */
interface Change {
  readonly at: number
  readonly change: number
}

/** @returns changes anywhere, each of another byte. */
function changesOf(at: fc.Arbitrary<number>, count: number): Change[] {
  const change = fc.record({ at, change: fc.integer({ min: 1, max: 255 }) })
  const [changes = []] = choose(
    fc.uniqueArray(change, { minLength: count, maxLength: count, selector: (each) => each.at }),
    1,
  )
  return changes
}

/** Writes a copy of an archive with one byte changed. @returns the name, which tells the change. */
async function corrupt(dir: string, bytes: Buffer, { at, change }: Change): Promise<string> {
  const name = `byte-${at}-xor-${change}.tar.xz`
  const damaged = Buffer.from(bytes)
  damaged.writeUInt8(damaged.readUInt8(at) ^ change, at)
  await writeFile(join(dir, name), damaged)
  return name
}

/** Runs a program over all archives of a directory; gives those it did not refuse. */
async function findAccepted(
  t: Test,
  program: Program,
  args: string[],
  options: { dir: string; names: ReadonlySet<string>; env: Record<string, string> },
): Promise<Answer[]> {
  const { dir, names } = options
  const env = { ...engine.env, ...options.env }
  const result = await run(program, [...args, '--json'], { cwd: dir, env })
  const answers = readAnswers(result)
  t.same(new Set(answers.map((answer) => answer.archive.replace(/.*\//, ''))), names, 'all tried')
  const accepted = answers.filter((answer) => answer.result !== 'failed')
  t.equal(result.status, accepted.length === names.size ? 0 : 1, 'exit status')
  return accepted
}

t.test('corruption: a whole archive is verified and loaded', async (t) => {
  t.match(await bench.run('verify_checksums', whole, '--against', 'record'), { status: 0 })
  t.match(await bench.run('load_compressed_tars', whole), { status: 0 })
  t.not(await listImages(), '')
  await removeImages()
})

t.test('corruption: with metadata, 200 of 200 changed bytes are found', async (t) => {
  const dir = join(root, 'saved')
  const bytes = await readFile(join(whole, archive))
  const metadata = await recordOf(whole, archive)
  const names = new Set<string>()
  for (const change of changesOf(fc.nat(bytes.length - 1), 200)) {
    const name = await corrupt(dir, bytes, change)
    const own = { ...metadata, archive: { ...metadata.archive, file: name } }
    await writeFile(join(dir, `${name}.json`), JSON.stringify(own))
    names.add(name)
  }
  for (const [program, ...args] of [
    ['verify_checksums', '--against', 'record'],
    ['verify_checksums', '--quick'],
    ['load_compressed_tars'],
  ] as const) {
    const options = { dir, names, env: {} }
    t.same(await findAccepted(t, program, args, options), [], `${program} ${args.join(' ')}`)
  }
  t.equal(await listImages(), '', 'the engine has no image')
})

t.test('corruption: without metadata, what is accepted is not changed inside', async (t) => {
  const dir = join(root, 'bare')
  const parts = await twoStreams(t)
  const bytes = Buffer.concat(parts)
  const names = new Set<string>()
  // Headers, indexes and footers are at the ends of the streams.
  const [first, end] = [parts[0].length, bytes.length - 1]
  const atEnds = fc.oneof(
    fc.nat(40),
    fc.integer({ min: first - 40, max: first + 40 }),
    fc.integer({ min: end - 40, max: end }),
  )
  for (const change of [...changesOf(fc.nat(end), 16), ...changesOf(atEnds, 16)]) {
    names.add(await corrupt(dir, bytes, change))
  }
  const tarSha256 = await sh(`xz -dc '${archive}' | sha256sum`, { cwd: whole })
  for (const [compressor, env] of Object.entries(COMPRESSORS)) {
    const loaded = await findAccepted(t, 'load_compressed_tars', [], { dir, names, env })
    const isThere = (await listImages()) !== ''
    t.equal(isThere, loaded.length > 0, `${compressor}: the engine has what was accepted only`)
    await removeImages()
    const verified = await findAccepted(t, 'verify_checksums', [], { dir, names, env })
    for (const { archive: name } of [...loaded, ...verified]) {
      const unpack = `(cat '${name}' | ${compressor} -dc 2>&- || true) | sha256sum`
      t.equal(await sh(unpack, { cwd: dir }), tarSha256, `${compressor}: ${name}`)
    }
  }
})

/** The same tar as an archive of two xz streams, as the format allows. */
async function twoStreams(t: Test): Promise<[Buffer, Buffer]> {
  const dir = t.testdir({})
  await sh(`xz -dc '${whole}/${archive}' | split -b 1500000 --filter 'pixz -t >$FILE'`, {
    cwd: dir,
  })
  const parts = [await readFile(join(dir, 'xaa')), await readFile(join(dir, 'xab'))] as const
  await writeFile(join(dir, 'both.tar.xz'), Buffer.concat(parts))
  t.match(await bench.run('load_compressed_tars', dir, './both.tar.xz'), { status: 0 })
  await removeImages()
  return [...parts]
}
