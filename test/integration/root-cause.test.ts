// What fails is told, and ends the rest at once: what is read of other archives, what
// waits for a slow decompressor, and no more than the archive that it is about.
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'

import { complaint, wrapCommand } from '../fixtures/faults.ts'
import {
  hasEnded,
  programFile,
  start,
  startFile,
  type Program,
  type RunResult,
} from '../fixtures/run.ts'
import { buildImage, dataLayer } from '../fixtures/sample-images.ts'
import { pseudoRandom } from '../fixtures/sample-layers.ts'
import type { TarEntry } from '../fixtures/tar-builder.ts'
import { archiveOf, readAnswers, setUp } from '../fixtures/workbench.ts'

const SAVE = 'save_compressed_tars'
const VERIFY = 'verify_checksums'
const LOAD = 'load_compressed_tars'

const bench = await setUp(t)
const { engine } = bench
const build = (name: string, ...layers: TarEntry[][]) =>
  buildImage(engine, bench.registry, { name: `sample/${name}:1.0`, layers })
const large = (name: string): TarEntry[] => [{ path: name, content: pseudoRandom(name, 6_000_000) }]
const first = await build('first', large('shared'))
const second = await build('second', large('shared'), large('more'))
const third = await build('third', large('shared'), dataLayer('third'))
const saved = t.testdir({})
const images = [first, second, third]
await bench.ask(SAVE, saved, ...images.map(({ reference }) => reference), '--level', '0')

/** Runs a program that must end soon, with all that it started. */
async function runSoon(
  t: Test,
  program: Program,
  args: string[],
  options: { cwd: string; env: Record<string, string> },
): Promise<RunResult> {
  const startMs = performance.now()
  const running = start(program, args, {
    ...options,
    signalAfter: { ms: 60_000, signal: 'SIGKILL', group: true },
  })
  t.teardown(() => running.signalGroup('SIGKILL'))
  const result = await running.done
  t.ok(hasEnded(running), 'no process is left')
  const elapsedMs = performance.now() - startMs
  t.ok(elapsedMs < 30_000, `after ${Math.round(elapsedMs)} ms`)
  return result
}

t.test('a reused layer is read by a slow decompressor, and the engine fails', async (t) => {
  const dir = t.testdir({})
  await cp(join(saved, archiveOf(first)), join(dir, archiveOf(first)))
  await cp(join(saved, `${archiveOf(first)}.json`), join(dir, `${archiveOf(first)}.json`))
  const bin = await wrapCommand(
    join(dir, 'docker'),
    'docker',
    'if [ "$1" = save ]; then "$real" "$@" | head -c 9000000; echo oh >&2; exit 1; fi; exec "$real" "$@"',
  )
  const slow = 'if [ "$1" = -d ]; then head -c 1000 >/dev/null; sleep 300; fi; exec "$real" "$@"'
  await wrapCommand(join(dir, 'pixz'), 'pixz', slow)
  const env = { ...engine.env, PATH: `${join(dir, 'pixz')}:${bin.PATH}` }
  const args = ['--no-pull', '--level', '0', second.reference]
  const result = await runSoon(t, SAVE, args, { cwd: dir, env })
  t.equal(result.status, 1)
  t.match(complaint(SAVE, result), { errors: [`save "${second.reference}": oh`] })
})

t.test('a tar is found to be bad while its decompressor hangs: the next is loaded', async (t) => {
  const dir = t.testdir({})
  await cp(saved, dir, { recursive: true })
  const garbage =
    'if [ "$1" = -d ] && mkdir "${0%/*}/once" 2>&-; then head -c 100000 /dev/urandom; sleep 300; fi; exec "$real" "$@"'
  await bench.removeImages()
  await bench.ask(LOAD, dir, first.reference)
  const { PATH } = await wrapCommand(join(dir, 'pixz'), 'pixz', garbage)
  const args = ['--json', second.reference, third.reference]
  const result = await runSoon(t, LOAD, args, { cwd: dir, env: { ...engine.env, PATH } })
  t.equal(result.status, 1)
  t.match(readAnswers(result), [
    { image: second.reference, result: 'failed', error: { code: 'BAD_TAR' } },
    { image: third.reference, result: 'loaded' },
  ])
})

// A user that is not root, who reads all the same. So many threads are just enough for a
// Node and its files, and not for eight more.
const THREADS = 8
const FEW_THREADS = `setpriv --reuid=64739 --clear-groups \\
  --inh-caps=+dac_read_search --ambient-caps=+dac_read_search prlimit --nproc=20 "$@"`

t.test('a thread cannot be started: that archive fails, the next is read', async (t) => {
  const dir = t.testdir({})
  await cp(saved, dir, { recursive: true })
  const args = [third.reference, '--format', 'zst', '--no-pull']
  t.match(await bench.ask(SAVE, dir, ...args), [{ result: 'saved' }])
  const few = ['-c', FEW_THREADS, 'bash', programFile(VERIFY)]
  const builtin = ['--against', 'record', '--compressor', 'builtin', '--json']
  const words = [...few, ...builtin, '--threads', `${THREADS}`]
  const result = await startFile('bash', words, { cwd: dir }).done
  t.equal(result.status, 1)
  const error = {
    code: 'NO_MEMORY',
    message: 'start one more thread to decompress: EAGAIN',
    hint: 'use fewer --threads, or end other programs',
  }
  t.match(readAnswers(result), [
    { result: 'failed', error },
    { result: 'failed', error },
    { result: 'verified' },
  ])
})
