// A containerd store remembers each repository that a manifest was ever pulled from,
// and writes their names into what it saves: none of them crosses the gap.
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { startEngine } from '../fixtures/docker-engine.ts'
import { startNewerEngine } from '../fixtures/newer-engine.ts'
import { startRegistry } from '../fixtures/registry.ts'
import { run, sh, type Program } from '../fixtures/run.ts'
import { buildImage, dataLayer, GREETING } from '../fixtures/sample-images.ts'
import { archiveOf, readAnswers, removeImages } from '../fixtures/workbench.ts'

const [older, near, registry] = await Promise.all([
  startEngine(),
  startNewerEngine('containerd'),
  startRegistry(),
])
t.teardown(() => Promise.all([older, near, registry].map(({ stop }) => stop())))
const image = await buildImage(older, registry, {
  name: 'sample/app:1.0',
  layers: [[GREETING], dataLayer('data')],
})
const { reference } = image
const archive = archiveOf(image)
const PRIVATE = `${registry.host}/team/secret:1.0`
await older.docker('tag', reference, PRIVATE)
await older.docker('push', PRIVATE)
t.afterEach(() => removeImages(near))

const ask = async (program: Program, cwd: string, ...args: string[]) =>
  readAnswers(await run(program, [...args, '--json'], { cwd, env: near.env }))
const save = async (dir: string, ...args: string[]): Promise<Buffer> => {
  const options = ['--no-pull', '--level', '0', ...args]
  const answers = await ask('save_compressed_tars', dir, ...options, reference)
  t.match(answers, [{ result: 'saved' }])
  return readFile(join(dir, archive))
}

for (const args of [[], ['--recompress']]) {
  t.test(`private names: none in an archive ${args.join()}`, async (t) => {
    const dirs = t.testdir({ before: {}, after: {} })
    await near.docker('pull', '--quiet', reference)
    const before = await save(join(dirs, 'before'), ...args)
    await near.docker('pull', '--quiet', PRIVATE)
    const saved = `docker save ${reference} | tar xO index.json | grep -c team/secret`
    t.equal(await sh(saved, { env: near.env }), '1', 'the engine writes them')
    const dir = join(dirs, 'after')
    const after = await save(dir, ...args)
    t.ok(after.equals(before), 'the archive is the one from before the other pull')
    const names = `xz -dc ${archive} | grep -cE "team/secret|distribution.source" || :`
    t.equal(await sh(names, { cwd: dir }), '0')
    t.match(await ask('load_compressed_tars', dir), [{ result: 'already loaded' }])
    await removeImages(near)
    t.match(await ask('load_compressed_tars', dir), [{ result: 'loaded' }])
  })
}

t.test('private names: verify compares without them, and saves once', async (t) => {
  const dir = t.testdir()
  await near.docker('pull', '--quiet', reference)
  await save(dir)
  await near.docker('pull', '--quiet', PRIVATE)
  const result = await run('verify_checksums', ['--json'], { cwd: dir, env: near.env })
  const [answer] = readAnswers(result)
  t.match(answer, { result: 'verified', notes: ['checked against the engine'] })
  t.match(answer?.md5?.archive, /^[0-9a-f]{32}$/)
  t.equal(answer?.md5?.expected, answer?.md5?.archive)
  t.notMatch(result.stderr, /saves .* again/)
  await rm(join(dir, `${archive}.json`))
  await rm(join(dir, 'SHA256SUMS'))
  const alone = await run('verify_checksums', ['--json'], { cwd: dir, env: near.env })
  t.match(readAnswers(alone), [{ result: 'verified', md5: answer?.md5 }], 'without metadata too')
  t.notMatch(alone.stderr, /saves .* again/)
  const md5 = await sh(`xz -dc ${archive} | tar xO | md5sum | cut -c-32`, { cwd: dir })
  t.equal(md5, answer?.md5?.archive)
})

t.test('private names: compress_tars keeps a tar as it is, and verify knows', async (t) => {
  const dir = t.testdir()
  await near.docker('pull', '--quiet', reference)
  await near.docker('pull', '--quiet', PRIVATE)
  await sh(`docker save -o saved.tar ${reference}`, { cwd: dir, env: near.env })
  await ask('compress_tars', dir, '--level', '0')
  await sh('xz -dc saved.tar.xz | cmp - saved.tar', { cwd: dir })
  t.match(await ask('verify_checksums', dir, 'saved.tar.xz'), [
    { result: 'verified', notes: ['checked against the engine'] },
  ])
})
