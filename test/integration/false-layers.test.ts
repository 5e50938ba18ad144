// Layers that are not what their image's config says, though every digest of the OCI
// layout is right: an engine keeps them, and only the last one to unpack them would tell.
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import t from 'tap'

import { sha256 } from '../fixtures/digest.ts'
import { wrapCommand } from '../fixtures/faults.ts'
import { startNewerEngine } from '../fixtures/newer-engine.ts'
import { OCI, ociImage, ociTar } from '../fixtures/oci-tar.ts'
import { hasEnded, run, sh, start, type Program } from '../fixtures/run.ts'
import { GREETING } from '../fixtures/sample-layers.ts'
import { tar } from '../fixtures/tar-builder.ts'
import { makePath, readAnswers, removeImages, until } from '../fixtures/workbench.ts'

const { env, stop, docker, ...engine } = await startNewerEngine('containerd')
t.teardown(stop)
t.afterEach(() => removeImages({ ...engine, env, docker, stop }))

const layer = tar([GREETING])
const flipped = Buffer.from(layer)
// In the content of its one file.
flipped[512] = (flipped[512] ?? 0) ^ 1

/** The image of one layer, whose config was made of another one. */
function imageOf(blob: Buffer, kind: string): Buffer {
  const mediaType = `${OCI}.layer.v1.${kind}`
  const image = ociImage([{ blob, diffId: sha256(layer), mediaType }])
  const annotations = {
    'io.containerd.image.name': 'docker.io/library/tool:1.0',
    'org.opencontainers.image.ref.name': '1.0',
  }
  return ociTar(image, [{ ...image.descriptor, annotations }], image.blobs)
}

const ask = async (program: Program, dir: string, ...args: string[]) =>
  readAnswers(await run(program, ['--json', ...args], { cwd: dir, env }))
const failed = (message: RegExp) => [{ result: 'failed', error: { code: 'BAD_IMAGE', message } }]
const SAVE = ['--no-pull', '--level', '0', 'tool:1.0']
const AGAINST = ['engine', 'record']
const NOT_LAYER = RegExp(`got ${sha256(flipped)}, want ${sha256(layer)}`)

t.test('false layers: plain: neither saved nor compressed', async (t) => {
  const dir = t.testdir({ 'bad.tar': imageOf(flipped, 'tar') })
  await sh('docker load <bad.tar || :', { cwd: dir, env })
  t.match(await ask('save_compressed_tars', dir, ...SAVE), failed(NOT_LAYER))
  t.match(await ask('compress_tars', dir), failed(NOT_LAYER))
  t.strictSame(await readdir(dir), ['bad.tar'])
})

t.test('false layers: plain: an archive of the plain pipeline fails', async (t) => {
  const dir = t.testdir()
  await sh('xz -0 >bad.tar.xz', { cwd: dir, input: imageOf(flipped, 'tar') })
  t.match(await ask('verify_checksums', dir), failed(NOT_LAYER))
  t.match(await ask('load_compressed_tars', dir), failed(NOT_LAYER))
})

for (const [what, blob] of [
  ['gzip', gzipSync(flipped)],
  ['zstd', zstdCompressSync(flipped)],
] as const) {
  t.test(`false layers: ${what}: verify fails, against engine and metadata`, async (t) => {
    const dir = t.testdir({ 'bad.tar': imageOf(blob, `tar+${what}`) })
    await sh('docker load <bad.tar || :', { cwd: dir, env })
    t.match(await ask('save_compressed_tars', dir, ...SAVE), [{ result: 'saved' }])
    t.match(await ask('compress_tars', dir), [{ result: 'compressed' }])
    for (const archive of ['tool-1.0.tar.xz', 'bad.tar.xz']) {
      for (const against of AGAINST) {
        const answers = await ask('verify_checksums', dir, '--against', against, archive)
        t.match(answers, failed(NOT_LAYER), `${archive} ${against}`)
      }
    }
  })

  t.test(`false layers: ${what}: with --verify-layers neither saved nor compressed`, async (t) => {
    const dir = t.testdir({ 'bad.tar': imageOf(blob, `tar+${what}`) })
    await sh('docker load <bad.tar || :', { cwd: dir, env })
    const saved = await ask('save_compressed_tars', dir, '--verify-layers', ...SAVE)
    t.match(saved, failed(NOT_LAYER))
    t.match(await ask('compress_tars', dir, '--verify-layers'), failed(NOT_LAYER))
    t.strictSame(await readdir(dir), ['bad.tar'])
  })
}

for (const program of ['xz', 'bzip2']) {
  t.test(`false layers: ${program}: compared by that program, if it is there`, async (t) => {
    const dir = t.testdir({ layer, flipped })
    const START = ['sh', 'bash', 'dirname', 'readlink']
    const PATH = await makePath(join(dir, 'start'), START)
    for (const [name, isRight] of [
      ['layer', true],
      ['flipped', false],
    ] as const) {
      const hex = await sh(`${program} <${name} | base64 -w0`, { cwd: dir })
      const image = imageOf(Buffer.from(hex, 'base64'), 'tar')
      await sh('xz -0 >image.tar.xz', { cwd: dir, input: image })
      const answers = await ask('verify_checksums', dir, '--compressor', 'builtin')
      t.match(answers, isRight ? [{ result: 'verified' }] : failed(NOT_LAYER), name)
      if (isRight) t.notMatch(answers[0]?.notes, [/not compared/])
      const bare = { ...env, PATH }
      const args = ['--json', '--compressor', 'builtin']
      const without = await run('verify_checksums', args, { cwd: dir, env: bare })
      t.match(readAnswers(without), [{ result: 'verified' }])
      t.match(readAnswers(without)[0]?.notes.join(), /1 compressed layers were not compared/)
      await writeFile(join(dir, 'image.tar'), image)
      const zst = ['--json', '--format', 'zst', '--verify-layers', 'image.tar']
      const compressed = await run('compress_tars', [...zst, '--force'], { cwd: dir, env: bare })
      t.match(readAnswers(compressed)[0]?.notes.join(), /1 compressed layers were not compared/)
      await sh('rm image.tar.zst* SHA256SUMS', { cwd: dir })
    }
  })
}

t.test('true layers: saved with --verify-layers, and verified', async (t) => {
  const dir = t.testdir()
  await writeFile(join(dir, 'good.tar'), imageOf(gzipSync(layer), 'tar+gzip'))
  await sh('docker load <good.tar', { cwd: dir, env })
  t.match(await ask('save_compressed_tars', dir, '--verify-layers', ...SAVE), [{ result: 'saved' }])
  t.match(await ask('verify_checksums', dir, 'tool-1.0.tar.xz'), [{ result: 'verified' }])
})

t.test('--verify-layers: a decoder that does not go on keeps no run', async (t) => {
  const dir = t.testdir({ layer })
  const hex = await sh('bzip2 <layer | base64 -w0', { cwd: dir })
  await writeFile(join(dir, 'image.tar'), imageOf(Buffer.from(hex, 'base64'), 'tar'))
  const path = await wrapCommand(join(dir, 'bin'), 'bzip2', ': >"$PWD/started"; exec sleep 300')
  const running = start('compress_tars', ['--verify-layers', 'image.tar'], { cwd: dir, env: path })
  await until('the decoder', async () => (await readdir(dir)).includes('started'))
  running.child.kill('SIGINT')
  t.match(await running.done, { status: 130 })
  await until('the end of all', async () => hasEnded(running))
})
