// verify_checksums: what it verifies, what it says it cannot, and what it finds.
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { dockerArchive } from '../fixtures/archive-builder.ts'
import { wrapCommand } from '../fixtures/faults.ts'
import { run } from '../fixtures/run.ts'
import { buildImage } from '../fixtures/sample-images.ts'
import { dataLayer, GREETING } from '../fixtures/sample-layers.ts'
import { tar } from '../fixtures/tar-builder.ts'
import { archiveOf, readAnswers, setUp } from '../fixtures/workbench.ts'

const bench = await setUp(t)
const { docker } = bench.engine
const build = (name: string) =>
  buildImage(bench.engine, bench.registry, {
    name,
    layers: [[GREETING], dataLayer(name.slice(0, 3))],
  })
const one = await build('one:1.0')
const two = await build('two:1.0')
const carry = t.testdir()
await bench.ask('save_compressed_tars', carry, one.reference, '--level', '1')
const verify = (...args: string[]) => bench.ask('verify_checksums', carry, ...args)

t.test('engine: has the image, by its name in the metadata', async (t) => {
  for (const name of [one.reference, archiveOf(one)]) {
    const [answer] = await verify(name)
    t.match(answer, { result: 'verified', notes: ['checked against the engine'] }, name)
    t.equal(answer?.md5?.archive, answer?.md5?.expected)
  }
})

// who saves the image, and what is done to what `docker info` says
const SAVERS: readonly [who: string, filter: string][] = [
  ['the daemon, by its socket', 'cat'],
  ['the client, where the socket is that of another daemon', `sed 's/"ID":"/&not /'`],
]
for (const [who, filter] of SAVERS) {
  t.test(`engine: its image comes from ${who}`, async (t) => {
    const dir = t.testdir()
    const log = join(dir, 'log')
    const script = `echo "$1" >>${log}; "$real" "$@" | if [ "$1" = info ]; then ${filter}; else cat; fi`
    const path = await wrapCommand(join(dir, 'bin'), 'docker', script)
    const options = { cwd: carry, env: { ...bench.engine.env, ...path } } as const
    const [answer] = readAnswers(await run('verify_checksums', ['--json'], options))
    t.match(answer, { result: 'verified', notes: ['checked against the engine'] })
    t.equal(answer?.md5?.archive, answer?.md5?.expected)
    const commands = (await readFile(log, 'utf8')).split('\n')
    t.equal(commands.includes('save'), who.startsWith('the client'), commands.join(' '))
  })
}

t.test('engine: has the image without its tag', async (t) => {
  await docker('tag', one.reference, 'another/name:1.0')
  await docker('image', 'rm', one.reference)
  // Saved by its ID it comes without its tags, so that the md5 differ.
  t.match(await verify(), [
    { result: 'verified', notes: [/config digest and 2 layers are the same$/] },
  ])
  await docker('tag', 'another/name:1.0', one.reference)
  await docker('image', 'rm', 'another/name:1.0')
})

t.test('engine: its tag means another image now', async (t) => {
  await docker('tag', two.reference, one.reference)
  for (const args of [[], ['--against', 'engine']]) {
    const { status, stdout, stderr } = await bench.run('verify_checksums', carry, ...args)
    t.equal(status, 1)
    t.match(stdout, `Checking ${archiveOf(one)}...\nFAILED\n`)
    t.match(stderr, one.configDigest)
    t.match(stderr, two.configDigest)
    t.match(stderr, 'verify_checksums: hint: ')
  }
  t.match(await verify('--against', 'record'), [
    { result: 'verified', notes: ['checked against its metadata'] },
  ])
  await docker('tag', one.configDigest, one.reference)
})

t.test('engine: another image under the name of an archive without metadata', async (t) => {
  const dir = t.testdir()
  await bench.sh(dir, `xz -dc ${join(carry, archiveOf(one))} | xz -0 > ${archiveOf(two)}`)
  const [answer] = await bench.ask('verify_checksums', dir, two.reference)
  t.match(answer, { result: 'failed', error: { code: 'MISMATCH' } })
  t.match(answer?.error?.message, `got ${one.reference}, want ${two.reference}`)
  const [expected, own] = await Promise.all(
    [two, one].map(({ reference }) => bench.sh(dir, `docker save ${reference} | tar xO | md5sum`)),
  )
  const { stdout } = await bench.run('verify_checksums', dir, two.reference)
  t.match(stdout, `Checking ${two.reference}...\n${expected}\n${own}\nFAILED\n`)
})

t.test('engine: has the images of an archive of several', async (t) => {
  const dir = t.testdir()
  const name = archiveOf(one).replace('.xz', '')
  await bench.sh(dir, `docker save ${one.reference} ${two.reference} >${name}`)
  await bench.ask('compress_tars', dir, '--level', '0')
  const ask = (...args: string[]) => bench.ask('verify_checksums', dir, one.reference, ...args)
  t.match(await ask(), [{ result: 'verified', notes: ['checked against its metadata'] }])
  const refused = { code: 'NO_IMAGE', message: /it holds several images/ }
  t.match(await ask('--against', 'engine'), [{ result: 'failed', error: refused }])
  await bench.sh(dir, 'rm *.json SHA256SUMS')
  t.match(await ask('--against', 'engine'), [{ result: 'failed', error: refused }])
  const notes = ['it has no metadata', /./, /^it holds several images: only its own digests/]
  t.match(await ask(), [{ result: 'verified', notes }])
})

t.test('name: an archive of another image that has the same archive name', async (t) => {
  const dir = t.testdir()
  await docker('tag', one.reference, 'a/b:1')
  await bench.ask('save_compressed_tars', dir, '--no-pull', '--level', '0', 'a/b:1')
  await docker('image', 'rm', 'a/b:1')
  const error = { code: 'MISMATCH', message: 'got a/b:1, want a_b:1' }
  for (const program of ['verify_checksums', 'load_compressed_tars'] as const) {
    t.match(await bench.ask(program, dir, 'a_b:1'), [{ result: 'failed', error }], program)
  }
})

t.test('engine: lays the image out differently than the one that saved it', async (t) => {
  for (const layout of ['legacy', 'oci', 'podman'] as const) {
    const dir = t.testdir()
    const built = (as: typeof layout) =>
      dockerArchive({
        layers: [tar([GREETING]), tar(dataLayer('laid'))],
        tags: ['laid/out:1.0'],
        layout: as,
      }).archive
    await writeFile(join(dir, 'own.tar'), built('legacy'))
    await docker('load', '--input', join(dir, 'own.tar'))
    await rm(join(dir, 'own.tar'))
    await writeFile(join(dir, 'laid_out-1.0.tar'), built(layout))
    await bench.run('compress_tars', dir, '--level', '0')
    const [answer] = await bench.ask('verify_checksums', dir, '--against', 'engine')
    t.match(answer, { result: 'verified' }, layout)
    t.match(answer?.notes, [
      'the engine lays it out differently: config digest and 2 layers are the same',
    ])
    t.match(answer?.md5?.expected, /^[0-9a-f]{32}$/)
    t.not(answer?.md5?.archive, answer?.md5?.expected)
  }
})

t.test('engine: does not have the image', async (t) => {
  await bench.removeImages()
  t.match(await verify('--against', 'engine'), [{ result: 'failed', error: { code: 'NO_IMAGE' } }])
  t.match(await verify(), [{ result: 'verified', notes: ['checked against its metadata'] }])
})

t.test('engine: is not there, and the metadata is enough', async (t) => {
  await bench.removeImages()
  const args = ['--engine', 'nerdctl']
  const { status, stdout, stderr } = await bench.run('verify_checksums', carry, ...args)
  t.equal(status, 0)
  t.match(stdout, 'OK (checked against its metadata)')
  t.match(stderr, 'verify_checksums: warning: ')
  const wanted = await bench.run('verify_checksums', carry, ...args, '--against', 'engine')
  t.equal(wanted.status, 1)
  t.match(wanted.stderr, 'verify_checksums: error: find the container engine: "nerdctl"')
})

t.test('alone: neither metadata nor image, and it says what that leaves open', async (t) => {
  await bench.removeImages()
  const dir = t.testdir()
  await bench.sh(dir, `cp ${join(carry, archiveOf(one))} .`)
  const [answer] = await bench.ask('verify_checksums', dir)
  t.match(answer, { result: 'verified', md5: { archive: /^[0-9a-f]{32}$/ } })
  t.strictSame(answer?.notes, [
    'it has no metadata',
    'there is no SHA256SUMS',
    'no image to compare it with: only its own digests of config and layers were checked',
  ])
  t.match(await bench.ask('verify_checksums', dir, '--against', 'record'), [
    { result: 'failed', error: { code: 'NO_RECORD' } },
  ])
})

t.test('alone: metadata that is gone and that SHA256SUMS lists is missed', async (t) => {
  await bench.removeImages()
  const dir = t.testdir()
  await bench.sh(dir, `cp ${join(carry, archiveOf(one))} ${join(carry, 'SHA256SUMS')} .`)
  for (const args of [[], ['--quick']]) {
    const answers = await bench.ask('verify_checksums', dir, ...args)
    t.match(answers, [{ result: 'failed', error: { code: 'NO_RECORD' } }], args.join())
    t.equal(answers.length, 1)
  }
})

t.test('quick: checks the sha256 only', async (t) => {
  const dir = t.testdir()
  await bench.sh(dir, `cp ${join(carry, archiveOf(one))}* .`)
  const quick = () => bench.ask('verify_checksums', dir, '--quick')
  t.match(await quick(), [{ result: 'verified', notes: ['only the sha256 was checked'] }])
  await bench.sh(dir, `sha256sum *.xz > SHA256SUMS && rm *.json`)
  t.match(await quick(), [{ result: 'verified' }])
  await bench.sh(dir, 'printf x | dd of=$(echo *.xz) bs=1 seek=1000 conv=notrunc status=none')
  t.match(await quick(), [{ result: 'failed', error: { code: 'MISMATCH' } }])
  await bench.sh(dir, 'rm SHA256SUMS')
  t.match(await quick(), [{ result: 'failed', error: { code: 'NO_RECORD' } }])
})
