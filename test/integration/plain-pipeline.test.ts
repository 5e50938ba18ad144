// Archives of the plain pipelines are taken here, and those made here by them:
// whoever has only one side of these programs loses nothing.
import { join } from 'node:path'
import t from 'tap'

import { run, type Program } from '../fixtures/run.ts'
import { buildImage } from '../fixtures/sample-images.ts'
import { dataLayer, GREETING } from '../fixtures/sample-layers.ts'
import {
  archiveOf,
  makePath,
  readAnswers,
  recordOf,
  setUp,
  snapshot,
} from '../fixtures/workbench.ts'

const bench = await setUp(t)
// With an empty layer, and one that comes twice: docker writes a link for it.
const layers = [[GREETING], dataLayer('twice'), [], dataLayer('twice')]
const image = await buildImage(bench.engine, bench.registry, { name: 'sample/app:1.0', layers })
const content = await bench.sh('/', `docker save ${image.reference} | tar xO | md5sum`)
const inspect = (reference: string) =>
  bench.engine.docker('image', 'inspect', '--format', '{{.Id}}', reference)

// Without -t pixz appends an index to the tar.
for (const compressor of ['pixz', 'pixz -t', 'xz']) {
  t.test(`from docker save | ${compressor}: verifies and loads`, async (t) => {
    const dir = t.testdir()
    await bench.engine.docker('pull', '--quiet', image.reference)
    await bench.sh(dir, `docker save ${image.reference} | ${compressor} -1 > ${archiveOf(image)}`)

    const { status, stdout } = await bench.run('verify_checksums', dir, image.reference)
    t.equal(status, 0)
    t.match(stdout, `${content}\n${content}\nOK (it has no metadata; `)
    t.match(stdout, 'checked against the engine')

    await bench.removeImages()
    const alone = await bench.run('verify_checksums', dir)
    t.equal(alone.status, 0)
    t.match(alone.stdout, 'only its own digests of config and layers were checked')

    const loaded = await bench.run('load_compressed_tars', dir)
    t.equal(loaded.status, 0)
    t.match(loaded.stderr, 'load_compressed_tars: warning: ')
    t.match(loaded.stderr, `${archiveOf(image)}" has no metadata`)
    t.equal(await inspect(image.reference), image.configDigest)
  })
}

t.test('from docker save | xz: the archive names no image, yet the engine has it', async (t) => {
  const dir = t.testdir()
  await bench.sh(dir, `docker save ${image.reference} | xz -0 > ${archiveOf(image)}`)
  const [answer] = await bench.ask('verify_checksums', dir)
  t.match(answer?.notes, ['it has no metadata', /./, 'checked against the engine'])
})

t.test('from docker save | pixz: what follows the archive is no part of it', async (t) => {
  const dir = t.testdir()
  await bench.sh(dir, `docker save ${image.reference} | pixz -0 > ${archiveOf(image)}`)
  await bench.sh(dir, `echo more >> ${archiveOf(image)}`)
  await bench.removeImages()
  for (const program of ['verify_checksums', 'load_compressed_tars'] as const) {
    t.match(await bench.ask(program, dir), [{ result: 'failed', error: { code: 'BAD_ARCHIVE' } }])
  }
  t.equal(await bench.listImages(), '', 'the engine has nothing')
  await bench.engine.docker('pull', '--quiet', image.reference)
})

t.test('to xz | docker load: brings the image back', async (t) => {
  const dir = t.testdir()
  await bench.run('save_compressed_tars', dir, image.reference)
  await bench.removeImages()
  await bench.sh(dir, `xz -dc ${archiveOf(image)} | docker load`)
  t.equal(await inspect(image.reference), image.configDigest)
})

t.test('to xz | tar xO | md5sum: is that of docker save', async (t) => {
  const dir = t.testdir()
  await bench.run('save_compressed_tars', dir, image.reference)
  t.equal(await bench.sh(dir, `xz -dc ${archiveOf(image)} | tar xO | md5sum`), content)
  t.equal(`${(await recordOf(dir, archiveOf(image))).tar.contentMd5}  -`, content)
})

const TOOLS = ['sh', 'bash', 'dirname', 'readlink', 'docker', 'node']

const ask = async (program: Program, cwd: string, PATH: string, ...args: string[]) => {
  const all = [image.reference, '--json', ...args]
  return readAnswers(await run(program, all, { cwd, env: { ...bench.engine.env, PATH } }))
}

t.test('compressor: pixz alone or xz alone is enough for all, and each reads both', async (t) => {
  const dir = t.testdir({ pixz: {}, xz: {} })
  const paths = {
    pixz: await makePath(join(dir, 'path-pixz'), [...TOOLS, 'pixz']),
    xz: await makePath(join(dir, 'path-xz'), [...TOOLS, 'xz']),
  }
  for (const writer of ['pixz', 'xz'] as const) {
    const carry = join(dir, writer)
    t.match(await ask('save_compressed_tars', carry, paths[writer]), [{ result: 'saved' }])
    t.match((await recordOf(carry, archiveOf(image))).archive, { compressor: { name: writer } })
    for (const [reader, path] of Object.entries(paths)) {
      const by = `written by ${writer}, read by ${reader}`
      const verified = [{ result: 'verified', md5: { archive: content.slice(0, 32) } }]
      t.match(await ask('verify_checksums', carry, path), verified, by)
      t.match(await ask('load_compressed_tars', carry, path, '--force'), [{ result: 'loaded' }], by)
    }
  }
})

t.test('bytes: an image saved again gives the same archive, with any threads', async (t) => {
  const dir = t.testdir()
  const sha256 = async (...args: string[]) => {
    const answers = await bench.ask(
      'save_compressed_tars',
      dir,
      image.reference,
      '--force',
      ...args,
    )
    t.match(answers, [{ result: 'saved' }])
    return (await snapshot(dir))[archiveOf(image)]?.split(' ')[2]
  }
  const first = await sha256()
  t.equal(await sha256(), first)
  for (const threads of ['1', '2']) t.equal(await sha256('--threads', threads), first, threads)
})
