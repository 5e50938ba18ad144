// save_compressed_tars: what is saved, under which name, what is not saved again
// or refused, and that its lines matter less. Pulling itself is in pull.test.ts.
import { readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { wrapCommand } from '../fixtures/faults.ts'
import { programFile, run, startFile } from '../fixtures/run.ts'
import { buildImage, buildMultiPlatform, type SampleImage } from '../fixtures/sample-images.ts'
import { GREETING, pseudoRandom } from '../fixtures/sample-layers.ts'
import { archiveOf, readAnswers, recordOf, setUp, snapshot } from '../fixtures/workbench.ts'

const bench = await setUp(t)
const { docker } = bench.engine
const save = (dir: string, ...args: string[]) => bench.ask('save_compressed_tars', dir, ...args)
const load = (dir: string, ...args: string[]) => bench.ask('load_compressed_tars', dir, ...args)
const build = (name: string, seed = name) =>
  buildImage(bench.engine, bench.registry, {
    name,
    layers: [[GREETING], [{ path: 'data', content: pseudoRandom(seed, 100_000) }]],
  })
const one = await build('sample/one:1.0')
const two = await build('sample/two:1.0')
const [amd64, arm64] = await buildMultiPlatform(bench.engine, bench.registry)
const multi = amd64.reference

t.test('again: an archive that is up to date is not touched', async (t) => {
  const dir = t.testdir()
  t.match(await save(dir, one.reference), [{ result: 'saved' }])
  const before = await snapshot(dir)
  t.match(await save(dir, one.reference), [{ result: 'up to date' }])
  t.strictSame(await snapshot(dir), before)
})

t.test('again: with --force it is made anew, of the same bytes', async (t) => {
  const dir = t.testdir()
  const read = async () => (await snapshot(dir))[archiveOf(one)]?.split(' ') ?? []
  await save(dir, one.reference)
  const [inode, , sha256] = await read()
  t.match(await save(dir, one.reference, '--force'), [{ result: 'saved' }])
  const [newInode, , newSha256] = await read()
  t.not(newInode, inode)
  t.equal(newSha256, sha256)
})

t.test('again: another level is done', async (t) => {
  const dir = t.testdir()
  await save(dir, one.reference)
  t.match(await save(dir, one.reference, '--level', '1'), [{ result: 'saved' }])
  t.match((await recordOf(dir, archiveOf(one))).archive, { level: 1 })
  t.match(await save(dir, one.reference, '--level', '1'), [{ result: 'up to date' }])
})

t.test('again: --force takes the place of another image, in whatever format', async (t) => {
  const dir = t.testdir()
  const clash = one.reference.replace('/sample/', '/sample_')
  await docker('pull', '--quiet', one.reference)
  await docker('tag', one.reference, clash)
  t.match(await save(dir, one.reference), [{ result: 'saved' }])
  const local = ['--no-pull', clash]
  const refused = { result: 'failed', error: { code: 'NAME_CLASH', hint: /--force/ } }
  for (const args of [[], ['--dry-run']]) t.match(await save(dir, ...local, ...args), [refused])
  const zst = ['--format', 'zst', '--level', '1']
  t.match(await save(dir, ...local, ...zst, '--force'), [
    { result: 'saved', notes: [`it takes the place of ${archiveOf(one)}`] },
  ])
  t.match(await bench.ask('verify_checksums', dir, clash), [{ result: 'verified' }])
})

t.test('again: metadata that cannot be looked at does not stop the others', async (t) => {
  const dir = t.testdir()
  await save(dir, one.reference)
  await bench.sh(dir, `rm ${archiveOf(one)}.json; mkfifo ${archiveOf(one)}.json`)
  const answers = await save(dir, one.reference, two.reference)
  const error = { code: 'BAD_FILE', message: /got a named pipe/ }
  t.match(answers, [{ result: 'failed', error }, { result: 'saved' }])
})

t.test('name: as long as that of metadata may be, though an increment has none', async (t) => {
  const dir = t.testdir()
  const long = `${'a'.repeat(234)}:1`
  await docker('pull', '--quiet', one.reference)
  await docker('tag', one.reference, long)
  t.match(await save(dir, '--no-pull', long), [{ result: 'saved' }])
})

t.test('again: a tag that moved in the registry is saved anew', async (t) => {
  const dir = t.testdir()
  const old = await build('sample/moving:1.0', 'old')
  await save(dir, old.reference)
  const moved = await build('sample/moving:1.0', 'new')
  await docker('tag', old.configDigest, old.reference)
  t.match(await save(dir, old.reference), [{ result: 'saved' }])
  const { images } = await recordOf(dir, archiveOf(old))
  t.match(images, [{ config: { digest: moved.configDigest } }])
})

t.test('again: what is missing beside an archive comes back', async (t) => {
  const dir = t.testdir()
  await save(dir, one.reference, two.reference)
  const sums = await bench.sh(dir, 'sort SHA256SUMS')
  await bench.sh(dir, `grep -v ${archiveOf(one)} SHA256SUMS > rest && mv rest SHA256SUMS`)
  t.match(await save(dir, one.reference), [{ result: 'up to date' }])
  t.equal(await bench.sh(dir, 'sort SHA256SUMS'), sums, 'lines of SHA256SUMS')
  await rm(join(dir, archiveOf(one)))
  t.match(await save(dir, one.reference), [{ result: 'saved' }])
  t.equal(await bench.sh(dir, 'sort SHA256SUMS'), sums)
})

for (const format of ['xz', 'zst']) {
  t.test(`again: an archive without metadata that can be read stays, ${format}`, async (t) => {
    const dir = t.testdir()
    const args = [one.reference, '--format', format]
    await save(dir, ...args)
    const metadata = join(dir, `${archiveOf(one).replace(/xz$/, format)}.json`)
    const lost = [
      ['BAD_RECORD', () => truncate(metadata, 100)],
      ['NAME_CLASH', () => rm(metadata)],
    ] as const
    for (const [code, lose] of lost) {
      await lose()
      const before = await snapshot(dir)
      // In the other format, for another platform: no way leads past it.
      for (const more of [[], ['--format', 'xz'], ['--format', 'zst'], ['--dry-run']]) {
        const answers = await save(
          dir,
          ...(more[0] === '--format' ? [one.reference] : args),
          ...more,
        )
        t.match(answers, [{ result: 'failed', error: { code, hint: /--force/ } }])
      }
      const { SHA256SUMS: _, ...rest } = await snapshot(dir)
      t.match(before, rest)
    }
    t.match(await save(dir, ...args, '--force'), [{ result: 'saved' }])
    await bench.sh(dir, 'sha256sum --check --strict SHA256SUMS')
  })
}

t.test('again: an archive whose metadata was changed is made again', async (t) => {
  const dir = t.testdir()
  await save(dir, one.reference)
  const path = join(dir, `${archiveOf(one)}.json`)
  const { archive, ...rest } = await recordOf(dir, archiveOf(one))
  const damaged = { archive: { ...archive, sha256: '0'.repeat(64) }, ...rest }
  await writeFile(path, JSON.stringify(damaged))
  t.match(await save(dir, one.reference, '--dry-run'), [{ result: 'would be saved' }])
  const { status, stderr } = await bench.run('save_compressed_tars', dir, one.reference)
  t.equal(status, 0)
  t.match(stderr, `warning: "${archiveOf(one)}" is not up to date: SHA256SUMS has another sha256`)
  t.match((await recordOf(dir, archiveOf(one))).archive, { sha256: archive.sha256 })
  await bench.sh(dir, 'sha256sum --check --strict SHA256SUMS')
})

t.test('digest: with a tag it loads back under that tag', async (t) => {
  const dir = t.testdir()
  const reference = `${one.reference}@${one.manifestDigest}`
  await bench.removeImages()
  t.match(await save(dir, reference), [
    { image: reference, archive: archiveOf({ reference }), result: 'saved', notes: [] },
  ])
  await bench.removeImages()
  t.match(await load(dir, reference), [{ result: 'loaded' }])
  t.equal(await docker('inspect', '--format', '{{.Id}}', one.reference), one.configDigest)
})

t.test('digest: with a tag that means another image here, it says what it was', async (t) => {
  const dir = t.testdir()
  await docker('pull', two.reference)
  await docker('tag', two.reference, one.reference)
  const reference = `${one.reference}@${one.manifestDigest}`
  const { status, stderr } = await bench.run('save_compressed_tars', dir, reference)
  t.equal(status, 0)
  t.match(stderr, `warning: the tag "${one.reference}" was ${two.configDigest} here before\n`)
  t.equal(await docker('inspect', '--format', '{{.Id}}', one.reference), one.configDigest)
})

t.test('digest: without a tag the summary says so', async (t) => {
  const dir = t.testdir()
  const reference = `${one.repository}@${one.manifestDigest}`
  await bench.removeImages()
  const { stdout } = await bench.run('save_compressed_tars', dir, reference)
  t.match(stdout, `Saved: ${reference} (it has no tag: `)
  await bench.removeImages()
  const [loaded] = await load(dir, reference)
  t.match(loaded, {
    result: 'loaded',
    notes: [`it has no tag: use it by its ID, ${one.configDigest}`],
  })
  t.equal(await docker('inspect', '--format', '{{.RepoTags}}', one.configDigest), '[]')
})

t.test('no pull: takes the image that is there, and no other', async (t) => {
  const dir = t.testdir()
  await docker('pull', '--quiet', one.reference)
  await docker('tag', one.reference, 'only/here:1.0')
  const { status, stdout } = await bench.run(
    'save_compressed_tars',
    dir,
    '--no-pull',
    'only/here:1.0',
  )
  t.equal(status, 0)
  t.notMatch(stdout, 'Pulling')
  await docker('image', 'rm', 'only/here:1.0')
  t.match(await save(t.testdir(), '--no-pull', 'only/here:1.0'), [
    { result: 'failed', error: { code: 'NO_IMAGE' } },
  ])
})

t.test('list: one bad image does not stop the rest', async (t) => {
  const bad = `${bench.registry.host}/sample/none:1.0`
  const dir = t.testdir({ list: [one.reference, bad, two.reference].join('\n') })
  const { status, stdout, stderr } = await bench.run('save_compressed_tars', dir, '--list', 'list')
  t.equal(status, 1)
  t.match(stdout, `Saved: ${one.reference}\n`)
  t.match(stdout, `Saved: ${two.reference}\n`)
  t.match(stderr, `save_compressed_tars: failed: ${bad}: pull "${bad}": `)
  t.notMatch(stdout, 'Done!')
  t.equal(await bench.sh(dir, 'sha256sum --strict -c SHA256SUMS | grep -c OK'), '5')
  t.equal(
    await readFile(join(dir, 'images_list.txt'), 'utf8'),
    await readFile(join(dir, 'list'), 'utf8'),
  )
})

const platformOf = async (dir: string) => {
  const { images } = await recordOf(dir, archiveOf({ reference: multi }))
  return images.map(({ platform, config }) => ({ platform, configDigest: config.digest }))
}
const expected = ({ architecture, configDigest }: SampleImage) => [
  { platform: `linux/${architecture}`, configDigest },
]

t.test('platform: the one that was asked for is saved', async (t) => {
  for (const image of [arm64, amd64]) {
    const dir = t.testdir({ [image.architecture]: {} })
    const carry = join(dir, image.architecture)
    const platform = `linux/${image.architecture}`
    t.match(await save(carry, '--platform', platform, multi), [{ result: 'saved' }])
    t.strictSame(await platformOf(carry), expected(image))
  }
})

t.test('platform: another one into the same directory is an error', async (t) => {
  const dir = t.testdir()
  await save(dir, '--platform', 'linux/arm64', multi)
  const before = await snapshot(dir)
  t.match(await save(dir, '--platform', 'linux/amd64', multi), [
    { result: 'failed', error: { code: 'WRONG_PLATFORM', message: 'linux/arm64' } },
  ])
  t.strictSame(await snapshot(dir), before)
  t.match(await save(dir, '--platform', 'linux/amd64', multi, '--force'), [{ result: 'saved' }])
  t.strictSame(await platformOf(dir), expected(amd64))
})

t.test('platform: what is none is refused', async (t) => {
  const args = ['--platform', 'arm64', multi]
  t.match(await bench.run('save_compressed_tars', t.testdir(), ...args), {
    status: 2,
    stdout: '',
    stderr: /error: --platform: got "arm64", want OS\/ARCH\[\/VARIANT\]\n.*hint: for instance/,
  })
})

t.test('platform: one that the image does not have is an error', async (t) => {
  const other = one.architecture === 'arm64' ? 'linux/amd64' : 'linux/arm64'
  const wrong = [{ result: 'failed', error: { code: 'WRONG_PLATFORM' } }]
  await docker('pull', '--quiet', one.reference)
  for (const args of [[], ['--no-pull']]) {
    const dir = t.testdir()
    t.match(await save(dir, '--platform', other, one.reference, ...args), wrong, args.join())
    t.strictSame(await snapshot(dir), {})
  }
  t.match(await save(t.testdir(), '--platform', 'linux/s390x', multi), wrong)
})

t.test('meanwhile: an image that is changed while it is saved is refused', async (t) => {
  const dirs = t.testdir({ carry: {} })
  // Somebody pulls another one of that name, after it was looked at.
  const script = `[ "$1" != save ] || exec $real save '${two.reference}'; exec "$real" "$@"`
  const env = { ...bench.engine.env, ...(await wrapCommand(join(dirs, 'bin'), 'docker', script)) }
  const carry = join(dirs, 'carry')
  const options = { cwd: carry, env } as const
  const result = await run('save_compressed_tars', ['--json', one.reference], options)
  t.equal(result.status, 1)
  t.match(readAnswers(result), [
    {
      result: 'failed',
      error: {
        code: 'BAD_IMAGE',
        message: `save "${one.reference}": got ${two.configDigest}, want ${one.configDigest}`,
        hint: /run it again$/,
      },
    },
  ])
  t.strictSame(await snapshot(carry), {}, 'nothing is left')
})

const LOST = /error: stdout: write: no space left on device\n.*hint: what it does goes on/

// where its lines go, its status, what it says of that
const OUTPUTS: [string, number, RegExp][] = [
  ['>/dev/full', 1, LOST],
  ['2>/dev/full', 1, /^$/],
  ['>/dev/full 2>&1', 1, /^$/],
  // Whoever reads them has stopped.
  ['> >(exec true); wait $!', 0, /^save_compressed_tars: compressing with/],
]

for (const [output, status, said] of OUTPUTS) {
  t.test(`output: images are saved though their lines are lost: ${output}`, async (t) => {
    const dir = t.testdir()
    const program = programFile('save_compressed_tars')
    const script = `exec ${output}; exec '${program}' ${one.reference} ${two.reference}`
    const ran = await startFile('bash', ['-c', script], { cwd: dir, env: bench.engine.env }).done
    t.equal(ran.status, status)
    t.match(ran.stderr, said)
    t.equal(await bench.sh(dir, 'sha256sum --strict -c SHA256SUMS | grep -c OK'), '4')
  })
}
