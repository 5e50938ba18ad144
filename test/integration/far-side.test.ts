// The whole way with the executables: saved and verified here with pixz, then
// verified, loaded and run on a bare machine behind the air gap.
import { chown, mkdir, readdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'

import { arm64Root } from '../fixtures/bare-root.ts'
import { runFarSide, STICK, type FarSideOptions } from '../fixtures/far-side.ts'
import { executables, PROGRAMS, run, startFile, type Program } from '../fixtures/run.ts'
import {
  buildImage,
  busyboxLayer,
  dataLayer,
  GREETING,
  type SampleImage,
} from '../fixtures/sample-images.ts'
import { archiveOf, recordOf, setUp } from '../fixtures/workbench.ts'

const bench = await setUp(t)
const { engine } = bench
const base = [await busyboxLayer(), [GREETING]]
const images = [
  await buildImage(engine, bench.registry, { name: 'sample/base:1.0', layers: base }),
  await buildImage(engine, bench.registry, {
    name: 'sample/train:24.05-py3',
    layers: [...base, dataLayer('train')],
  }),
]
const [image] = images
const references = images.map(({ reference }) => reference)

const stick = t.testdir({ images: {}, tars: {}, tools: {} })
const carry = join(stick, 'images')
const socket = join(engine.dir, 'docker.sock')
const machine = {
  stick,
  socket,
  tools: resolve(executables(process.arch)),
  compressors: ['xz'],
} as const satisfies FarSideOptions
const tool = (program: Program, ...args: string[]) =>
  `'${STICK}/tools/${program}' --dir '${STICK}/images' ${args.join(' ')}`
const here = (program: Program, cwd: string, ...args: string[]) =>
  run(program, args, { form: 'executable', cwd, env: engine.env })

t.test('outer side: the executables save, verify and compress', async (t) => {
  await writeFile(join(carry, 'images_list.txt'), references.join('\n'))
  const saved = await here('save_compressed_tars', carry)
  t.match(saved, { status: 0, stdout: /\nDone!\n$/ })
  for (const each of images) {
    const metadata = await recordOf(carry, archiveOf(each))
    t.equal(metadata.archive.compressor.name, 'pixz')
  }
  const verified = await here('verify_checksums', carry)
  t.match(verified, { status: 0, stdout: /\nOK \(checked against the engine\)\n/ })
  const tars = join(stick, 'tars')
  await engine.docker('save', '--output', join(tars, 'base.tar'), references[0] ?? '')
  t.match(await here('compress_tars', tars), {
    status: 0,
    stdout: /^Compressing base\.tar\.\.\.\n/,
  })
})

t.test('air-gapped host: it has loopback only, an old C library and no Node', async (t) => {
  const { stdout } = await runFarSide(
    'tail -n +3 /proc/net/dev; command -v node npm; ldd --version; id -u; touch /tmp/x 2>&1',
    machine,
  )
  t.match(stdout, /^ *lo:[^\n]*\nldd \(.*\) 2\.31\n/)
  t.match(stdout, "\n0\ntouch: cannot touch '/tmp/x': Read-only file system\n")
})

// what is installed, what reads .xz with it; there is no zstd
const MACHINES: [FarSideOptions['compressors'], string][] = [
  [['pixz', 'xz'], 'pixz 1.0.7'],
  [['xz'], 'builtin liblzma'],
  [[], 'builtin liblzma'],
]

for (const [compressors, reader] of MACHINES) {
  const what = compressors.join(' and ') || 'nothing'
  t.test(`air-gapped host: with ${what} it verifies, loads and runs`, async (t) => {
    await bench.removeImages()
    const far = { ...machine, compressors }
    const { stdout: names } = await runFarSide('for n in pixz xz; do type -t $n; done', far)
    t.equal(names, compressors.map(() => 'file\n').join(''))
    const sums = await runFarSide(`cd '${STICK}/tools' && sha256sum --strict -c SHA256SUMS`, far)
    t.match(sums, { status: 0, stderr: '' })
    const verified = await runFarSide(tool('verify_checksums'), far)
    t.match(verified, { status: 0, stderr: remark('verify_checksums', reader) })
    t.equal(verified.stdout.split('OK (checked against its metadata)\n').length, 3)
    const loaded = await runFarSide(tool('load_compressed_tars'), far)
    const stderr = remark('load_compressed_tars', reader)
    t.match(loaded, { status: 0, stderr, stdout: /\nDone!\n$/ })
    for (const each of images) await runs(t, each, far)
  })
}

function remark(program: Program, reader: string): string {
  const zstd = `builtin ${process.versions['zstd']}`
  return `${program}: decompressing xz with ${reader}, zst with ${zstd}\n`
}

async function runs(t: Test, each: SampleImage, far: FarSideOptions): Promise<void> {
  const { reference, configDigest } = each
  const id = await engine.docker('image', 'inspect', '--format', '{{.Id}}', reference)
  t.equal(id, configDigest, reference)
  const ran = await runFarSide(`docker run --rm --network none ${reference}`, far)
  t.equal(ran.stdout, GREETING.content)
}

t.test('air-gapped host: with nothing, archives of zst, whatever saved them', async (t) => {
  for (const compressor of ['zstd', 'builtin']) {
    const dir = join(stick, compressor)
    await mkdir(dir)
    const args = ['--no-pull', '--format', 'zst', '--compressor', compressor, ...references]
    t.match(await here('save_compressed_tars', dir, ...args), { status: 0 })
    await bench.removeImages()
    const far = { ...machine, compressors: [] }
    const at = `--dir '${STICK}/${compressor}'`
    const verified = await runFarSide(`'${STICK}/tools/verify_checksums' ${at}`, far)
    t.equal(verified.stdout.split('OK (checked against its metadata)\n').length, 3)
    const loaded = await runFarSide(`'${STICK}/tools/load_compressed_tars' ${at}`, far)
    t.match(loaded, { status: 0, stdout: /\nLoading \S+_train-24\.05-py3\.tar\.zst\.\.\.\n/ })
    for (const each of images) await runs(t, each, far)
  }
})

t.test(
  'air-gapped host: a tar that was compressed loads, by the name of its archive',
  async (t) => {
    await bench.removeImages()
    const args = `--dir '${STICK}/tars' base.tar.xz`
    const loaded = await runFarSide(`'${STICK}/tools/load_compressed_tars' ${args}`, machine)
    t.match(loaded, { status: 0, stdout: /^Loading base\.tar\.xz\.\.\.\n/ })
    t.equal(
      await engine.docker('image', 'inspect', '--format', '{{.Id}}', image?.reference ?? ''),
      image?.configDigest,
    )
  },
)

t.test(
  'air-gapped host: a user of the socket loads through a link, from any directory',
  async (t) => {
    await bench.removeImages()
    const group = 4242
    await chown(socket, 0, group)
    t.teardown(() => chown(socket, 0, 0))
    const script = `cd /srv && ln -s '${STICK}/tools/load_compressed_tars' load && mkdir 'a b' &&
    cd 'a b' && id -u && ../load --dir '${STICK}/images'`
    const user = { id: 1000, groups: [group] }
    const loaded = await runFarSide(script, { ...machine, user })
    t.match(loaded, { status: 0, stdout: /^1000\nLoading [^]*\nDone!\n$/ })

    const other = await runFarSide(script, { ...machine, user: { id: 1000, groups: [] } })
    t.equal(other.status, 1)
    t.match(other.stderr, /^load_compressed_tars: error: ask docker: .*\n.*hint: /)
  },
)

t.test('air-gapped host: a stick mounted noexec needs a copy', async (t) => {
  const noexec = { ...machine, mountOptions: 'noexec' }
  const refused = await runFarSide(tool('verify_checksums'), noexec)
  t.match(refused, { status: 126, stderr: /verify_checksums: Permission denied\n$/ })
  const copied = `cp '${STICK}/tools/verify_checksums' /srv && cd '${STICK}/images' &&
    /srv/verify_checksums`
  t.match(await runFarSide(copied, noexec), { status: 0, stdout: /\nDone!\n$/ })
})

t.test('air-gapped host: nothing was written anywhere', async (t) => {
  const expected = images.flatMap((each) => [archiveOf(each), `${archiveOf(each)}.json`])
  const names = [...expected, 'SHA256SUMS', 'images_list.txt']
  t.strictSame((await readdir(carry)).toSorted(), names.toSorted())
})

t.test('arm64: the executables run under an emulator', async (t) => {
  const root = await arm64Root()
  const emulate = (program: Program, ...args: string[]) =>
    startFile(
      'qemu-aarch64-static',
      ['-L', root, resolve(executables('arm64'), program), ...args],
      { cwd: carry, env: engine.env },
    ).done
  for (const program of PROGRAMS) {
    const version = await emulate(program, '--version')
    t.match(version, { status: 0, stderr: '' })
    t.ok(version.stdout.endsWith(`, node ${process.version}, linux-arm64)\n`), version.stdout)
    const help = await emulate(program, '--help')
    t.strictSame(help, await run(program, ['--help']), program)
  }
  const args = ['--against', 'record', archiveOf(images[0] ?? { reference: '' })]
  const verified = await emulate('verify_checksums', ...args)
  t.match(verified, { status: 0, stdout: /\nOK \(checked against its metadata\)\n/ })
})
