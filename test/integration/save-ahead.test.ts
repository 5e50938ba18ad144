// While the end of one image is compressed, the engine is at the next one already.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'

import { wrapCommand } from '../fixtures/faults.ts'
import { hasEnded, start, type Running } from '../fixtures/run.ts'
import { buildImage } from '../fixtures/sample-images.ts'
import { pseudoRandom } from '../fixtures/sample-layers.ts'
import { readAnswers, setUp, until } from '../fixtures/workbench.ts'

const bench = await setUp(t)
const build = async (name: string) => {
  const layers = [[{ path: 'data', content: pseudoRandom(name, 4_000_000) }]]
  return (await buildImage(bench.engine, bench.registry, { name, layers })).reference
}
const [one, two] = [await build('ahead/one:1.0'), await build('ahead/two:1.0')]

/** Saves them with a compressor that takes its time; tells how many archives were there at each `docker save`. */
async function startSaving(
  t: Test,
  compressorSeconds: number,
): Promise<{ running: Running; dir: string; begun: () => Promise<string[]> }> {
  const dir = t.testdir()
  const log = join(t.testdirName, 'log')
  const asks = `[ "$1" != save ] || ls ${dir} | grep -c 'tar.xz$' >>${log}; exec $real "$@"`
  const lingers = `[ "$1" != -h ] || exec $real "$@"; $real "$@"; exec sleep ${compressorSeconds}`
  const docker = await wrapCommand(join(dir, 'docker'), 'docker', asks)
  const pixz = await wrapCommand(join(dir, 'pixz'), 'pixz', lingers)
  const PATH = `${join(dir, 'docker')}:${pixz.PATH}`
  const args = ['--json', '--no-pull', '--level', '0', '--dir', dir, one, two]
  const env = { ...bench.engine.env, ...docker, PATH }
  const begun = async (): Promise<string[]> =>
    (await readFile(log, 'utf8').catch(() => '')).split('\n').filter(Boolean)
  return { running: start('save_compressed_tars', args, { env }), dir, begun }
}

t.test('the engine lays out the next image before the archive of one is there', async (t) => {
  const { running, dir, begun } = await startSaving(t, 2)
  t.match(readAnswers(await running.done), [{ result: 'saved' }, { result: 'saved' }])
  t.strictSame(await begun(), ['0', '0'])
  t.match(await bench.ask('verify_checksums', dir), [
    { result: 'verified' },
    { result: 'verified' },
  ])
})

t.test('an image that is up to date is not asked for', async (t) => {
  const { running, dir, begun } = await startSaving(t, 0)
  await running.done
  const asked = (await begun()).length
  t.equal(asked, 2)
  await bench.sh(dir, 'rm *one*')
  t.match(await bench.ask('save_compressed_tars', dir, '--no-pull', '--level', '0', one, two), [
    { result: 'saved' },
    { result: 'up to date' },
  ])
})

t.test('what was begun is ended where the run is', async (t) => {
  const { running, begun } = await startSaving(t, 60)
  await until('the next image', async () => (await begun()).length === 2)
  // It alone: the others are its children, and their end its business.
  running.child.kill('SIGTERM')
  const ended = await running.done
  t.equal(ended.status, 143, ended.stderr)
  t.ok(await until('the end of all processes', async () => hasEnded(running)))
})
