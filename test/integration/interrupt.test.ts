// Ctrl-C, SIGTERM and a terminal that is closed: nothing half made, nothing left running.
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'

import { listenBefore } from '../fixtures/daemon-socket.ts'
import { wrapCommand } from '../fixtures/faults.ts'
import { openGate } from '../fixtures/gate.ts'
import { hasEnded, start, type Running } from '../fixtures/run.ts'
import { buildImage } from '../fixtures/sample-images.ts'
import { pseudoRandom } from '../fixtures/sample-layers.ts'
import { setUp, snapshot, until } from '../fixtures/workbench.ts'

const bench = await setUp(t)
const { reference } = await buildImage(bench.engine, bench.registry, {
  name: 'sample/large:1.0',
  layers: [[{ path: 'data', content: pseudoRandom('large', 8_000_000) }]],
})

// With a time to let the bytes flow; SIGTERM comes before the first of them.
const SIGNALS = [
  ['SIGINT', 130, 500],
  ['SIGTERM', 143, 0],
] as const

// the program, its arguments, the command of the engine that hangs
const QUESTIONS = [
  ['verify_checksums', [], 'info'],
  ['verify_checksums', ['--against', 'engine'], 'info'],
  ['load_compressed_tars', [], 'image ls'],
] as const
const saved = t.testdir()
await bench.ask('save_compressed_tars', saved, reference, '--level', '0')
await bench.removeImages()

const isGone = async (t: Test, running: Running) => {
  t.ok(await until('the end of all processes', async () => hasEnded(running)), 'no process is left')
}

const CASES = [
  ...SIGNALS.map((signal) => ['executable', ...signal] as const),
  // The shell that begins a script is no longer there to take the signal.
  ['source', 'SIGINT', 130, undefined] as const,
  // As a terminal does that is closed: twice.
  ['executable', 'SIGHUP', 129, 0] as const,
  ['executable', 'SIGQUIT', 131, 0] as const,
]

for (const [form, signal, want, waitMs] of CASES) {
  t.test(
    `${signal}: in the middle of an archive leaves what was there before: ${form}`,
    async (t) => {
      const dir = t.testdir()
      await bench.ask('save_compressed_tars', dir, reference, '--level', '0')
      const before = await snapshot(dir)
      const args = [reference, '--level', '9', '--no-pull']
      const running = start('save_compressed_tars', args, { form, cwd: dir, env: bench.engine.env })
      await until('a temporary file', async () =>
        (await readdir(dir)).some((name) => name.endsWith('.tmp')),
      )
      await sleep(waitMs)
      running.signalGroup(signal)
      if (signal === 'SIGHUP') running.signalGroup(signal)
      const { status, stdout, stderr } = await running.done
      t.equal(status, want)
      t.match(stderr, 'save_compressed_tars: interrupted\n')
      t.notMatch(stdout + stderr, /error|failed|Saved/i)
      t.strictSame(await snapshot(dir), before)
      await isGone(t, running)

      t.match(await bench.ask('save_compressed_tars', dir, ...args), [{ result: 'saved' }])
      t.match(await bench.ask('verify_checksums', dir), [{ result: 'verified' }])
    },
  )
}

for (const [signal, want] of SIGNALS) {
  for (const [program, args, question] of QUESTIONS) {
    const what = `${program} ${args.join(' ')}: ${question}`
    t.test(`${signal}: ends what an engine is asked: ${what}`, async (t) => {
      const dir = t.testdir()
      await bench.sh(dir, `cp ${saved}/* .`)
      const asked = join(dir, 'asked')
      // It hears no Ctrl-C, as a client that hangs may not.
      const hang = `case "$*" in "${question}"*) trap '' INT; touch '${asked}'; exec sleep 60 ;; esac`
      const path = await wrapCommand(join(dir, 'bin'), 'docker', `${hang}; exec "$real" "$@"`)
      const env = { ...bench.engine.env, ...path }
      const running = start(program, [...args], { cwd: dir, env })
      await until('the question', async () => existsSync(asked))
      running.signalGroup(signal)
      const { status, stderr } = await running.done
      t.equal(status, want)
      t.match(stderr, new RegExp(`${program}: interrupted\n$`))
      t.notMatch(stderr, /warning|error|failed/i)
      await isGone(t, running)
    })
  }

  t.test(`${signal}: in the middle of a pull ends it`, async (t) => {
    const dir = t.testdir()
    let asked = false
    const gate = await openGate(bench.registry, () => {
      asked = true
      return new Promise(() => {})
    })
    t.teardown(gate.close)
    const running = bench.start('save_compressed_tars', dir, `${gate.host}/sample/large:1.0`)
    await until('the pull', async () => asked)
    running.signalGroup(signal)
    const { status, stderr } = await running.done
    t.equal(status, want)
    t.match(stderr, 'save_compressed_tars: interrupted\n')
    t.strictSame(await snapshot(dir), {})
    await isGone(t, running)
  })
}

for (const [signal, want] of SIGNALS) {
  t.test(`${signal}: ends a verification whose image the daemon saves`, async (t) => {
    const dir = t.testdir()
    await bench.sh(dir, `cp ${saved}/* .`)
    await bench.ask('load_compressed_tars', dir)
    let state: 'silent' | 'asked' | 'left' = 'silent'
    const host = await listenBefore(t, bench.engine, ({ socket }) => {
      state = 'asked'
      socket.once('close', () => (state = 'left'))
    })
    const env = { ...bench.engine.env, ...host }
    const running = start('verify_checksums', [], { cwd: dir, env })
    await until('the question', async () => state === 'asked')
    running.signalGroup(signal)
    const { status, stderr } = await running.done
    t.equal(status, want)
    t.match(stderr, /verify_checksums: interrupted\n$/)
    t.notMatch(stderr, /warning|error|failed/i)
    t.ok(await until('the end of the connection', async () => state === 'left'))
    await isGone(t, running)
  })
}
