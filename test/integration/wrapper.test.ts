// A script named `docker` that runs the real one and waits for it: whatever ends a
// run, or the script, nothing of both is left, and nothing is half loaded.
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'

import { AS_CHILD, complaint, wrapCommand } from '../fixtures/faults.ts'
import { openGate, overTcp } from '../fixtures/gate.ts'
import {
  hasEnded,
  programFile,
  start,
  startFile,
  type Program,
  type Running,
} from '../fixtures/run.ts'
import { buildImage } from '../fixtures/sample-images.ts'
import { pseudoRandom } from '../fixtures/sample-layers.ts'
import { archiveOf, setUp, until } from '../fixtures/workbench.ts'

const SAVE = 'save_compressed_tars'
const VERIFY = 'verify_checksums'
const LOAD = 'load_compressed_tars'

const bench = await setUp(t)
const { engine } = bench
const image = await buildImage(engine, bench.registry, {
  name: 'sample/large:1.0',
  layers: [[{ path: 'data', content: pseudoRandom('large', 8_000_000) }]],
})
const { reference } = image
const saved = t.testdir()
await bench.ask(SAVE, saved, reference, '--level', '0')

// What it starts heeds no SIGTERM, and goes on for long after the real docker.
const STUBBORN = `bash -c 'trap "" TERM INT; "$@"; sleep 300' bash "$real" "$@"; exit $?`
// In the middle of a layer nothing more comes, and nothing ends.
const STALLED =
  '"$real" "$@" | { head -c 4000000; if read -r -d "" -n 1; then touch "$stalled"; sleep 300; fi; }; exit $?'

/** Starts a program with such a docker over TCP, where all is asked by the client. */
async function begin(
  t: Test,
  program: Program,
  args: string[],
  { question, docker }: { question: string; docker: string },
): Promise<{ running: Running; dir: string }> {
  const dir = t.testdir({})
  await bench.sh(dir, `cp ${saved}/* .`)
  const bin = await mkdtemp(join(engine.dir, 'wrapper-'))
  const when = `if [ "$1" = ${question} ]; then echo $$ >'${bin}/asked'; ${docker}; fi; ${AS_CHILD}`
  const { PATH } = await wrapCommand(join(bin, 'docker'), 'docker', when)
  const stall = `if [ "$1" = -d ]; then stalled='${bin}/stalled'; ${STALLED}; fi; ${AS_CHILD}`
  const pixz = await wrapCommand(join(bin, 'pixz'), 'pixz', stall)
  const env = {
    ...engine.env,
    ...(await overTcp(t, engine)),
    PATH: `${join(bin, 'docker')}:${pixz.PATH.split(':')[0]}:${PATH}`,
  }
  const running = start(program, args, { cwd: dir, env })
  t.teardown(() => running.signalGroup('SIGKILL'))
  await until('the question', async () => existsSync(join(bin, 'asked')))
  if (program !== SAVE) await until('the layer', async () => existsSync(join(bin, 'stalled')))
  return { running, dir: bin }
}

/** What the system tells of a process; nothing of one that has ended. */
function statOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return ''
  }
}

/** Checks that it ends soon, with all that it started. */
async function endsSoon(t: Test, running: Running): Promise<void> {
  const startMs = performance.now()
  await running.done
  t.ok(hasEnded(running), 'no process is left')
  const elapsedMs = performance.now() - startMs
  t.ok(elapsedMs < 15_000, `after ${Math.round(elapsedMs)} ms`)
}

const RUNS = [
  [SAVE, 'save', [reference, '--no-pull', '--level', '9', '--force', '--compressor', 'xz']],
  [VERIFY, 'save', []],
  [LOAD, 'load', ['--force']],
] as const

for (const [program, question, args] of RUNS) {
  t.test(`SIGINT: ends ${program} with what a script named docker started`, async (t) => {
    if (program === LOAD) await bench.removeImages()
    const { running } = await begin(t, program, [...args], { question, docker: STUBBORN })
    running.child.kill('SIGINT')
    await endsSoon(t, running)
    const { status, stderr } = await running.done
    t.equal(status, 130)
    t.match(stderr, new RegExp(`${program}: interrupted\n$`))
    t.notMatch(stderr, /error|failed/i)
    if (program === LOAD) t.equal(await bench.listImages(), '', 'the engine has no image')
  })
}

t.test('SIGINT: ends a pull with what a script named docker started', async (t) => {
  let asked = false
  const gate = await openGate(bench.registry, () => {
    asked = true
    return new Promise(() => {})
  })
  t.teardown(gate.close)
  const args = [`${gate.host}/sample/large:1.0`]
  const { running } = await begin(t, SAVE, args, { question: 'pull', docker: STUBBORN })
  await until('the pull', async () => asked)
  running.child.kill('SIGINT')
  await endsSoon(t, running)
  t.match(await running.done, { status: 130, stderr: /interrupted\n$/ })
})

t.test('SIGINT: a second one leaves nothing running either', async (t) => {
  await bench.ask(LOAD, saved, '--force')
  const docker = `trap "" TERM INT; ${STUBBORN}`
  const { running } = await begin(t, VERIFY, [], { question: 'save', docker })
  running.child.kill('SIGINT')
  await sleep(300) // two at once are one
  running.child.kill('SIGINT')
  const result = await running.done
  t.equal(result.status, 130)
  t.notMatch(result.stderr, /interrupted/, 'it does not wait for the end of all')
  t.ok(await until('the end of all', async () => hasEnded(running)))
})

t.test('SIGTSTP: stops what a run has started, too, and all goes on after it', async (t) => {
  const dir = t.testdir({})
  await bench.ask(LOAD, saved, '--force')
  // A shell with job control, without which there is nobody to let it go on.
  const jobs = ['-c', 'set -m; "$@" & exec 3<><(:); read -u 3', 'bash']
  const args = ['--no-pull', '--level', '6', '--compressor', 'xz', reference]
  const running = startFile('bash', [...jobs, programFile(SAVE), ...args], {
    cwd: dir,
    env: engine.env,
  })
  t.teardown(() => running.signalGroup('SIGKILL'))
  const others = () => running.processes().filter((pid) => pid !== running.child.pid)
  const isStopped = (pid: number) => / T /.test(statOf(pid))
  const first = await until('the compressor', async () => others().length > 1 && others()[0])
  process.kill(first ?? 0, 'SIGTSTP')
  await until('all to stop', async () =>
    others().every((pid) => isStopped(pid) || statOf(pid) === ''),
  )
  process.kill(first ?? 0, 'SIGCONT')
  await until('all to go on', async () => !others().some(isStopped))
  await until('the end', async () => others().length === 0)
  running.signalGroup('SIGKILL')
  t.match(await running.done, { stdout: /Saved: .*\n[^]*Done!/ })
  await bench.removeImages()
})

t.test('SIGKILL: a script named docker that dies does not end the input of the load', async (t) => {
  // What stands before the real one would hear of an end.
  const docker = `{ cat; touch "\${0%/*}/../early"; } | "$real" "$@"; exit $?`
  const { running, dir } = await begin(t, LOAD, ['--force'], { question: 'load', docker })
  process.kill(Number(await readFile(join(dir, 'asked'), 'utf8')), 'SIGKILL')
  await endsSoon(t, running)
  const result = await running.done
  t.equal(result.status, 1)
  t.match(complaint(LOAD, result), {
    errors: [`load "${archiveOf(image)}": it ended with SIGKILL`],
  })
  t.notOk((await readdir(dir)).includes('early'), 'no end of the input was seen')
  t.equal(await bench.listImages(), '', 'the engine has no image')
})

t.test('all is well where a script named docker runs the real one', async (t) => {
  const dir = t.testdir({})
  const PATH = (await wrapCommand(join(dir, 'bin'), 'docker', AS_CHILD)).PATH
  const env = { ...engine.env, ...(await overTcp(t, engine)), PATH }
  const carry = ['--dir', saved]
  t.match(await start(LOAD, carry, { env }).done, { status: 0, stdout: /Loaded: / })
  t.match(await start(VERIFY, carry, { env }).done, { status: 0, stdout: /\nOK/ })
  const args = [...carry, '--no-pull', '--force', '--level', '0', reference]
  const running = start(SAVE, args, { env })
  t.match(await running.done, { status: 0, stdout: /Saved: / })
  t.ok(hasEnded(running), 'no process is left')
})
