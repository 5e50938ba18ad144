import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'

import { ToolError } from '../../../lib/core/errors.ts'
import { startChild } from '../../../lib/io/child.ts'
import { leadGroup, signalGroups } from '../../../lib/io/process-group.ts'
import { runCommand } from '../../../lib/io/run-command.ts'
import type { Task } from '../../../lib/io/task.ts'
import { until } from '../../fixtures/workbench.ts'

function shell(script: string): Task {
  return startChild('bash', ['-c', script], {
    toError: (stderr) => new ToolError('ENGINE_FAILED', stderr),
  })
}

/** Checks that a process, whose ID a script wrote to a file, is no more, or dead. */
async function isGone(t: Test, file: string): Promise<void> {
  const pid = (await readFile(file, 'utf8')).trim()
  t.match(pid, /^\d+$/)
  const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  t.match(status, /^$|\) Z /, 'it has ended')
}

t.test('kill: ends what a child has started, which holds its pipes', async (t) => {
  const file = join(t.testdir({}), 'pid')
  const child = shell(`sleep 300 & echo $! >${file}; echo ready; wait`)
  await once(child.stdout, 'data')
  child.kill()
  await t.rejects(child.exited, { code: 'INTERRUPTED' })
  await isGone(t, file)
})

t.test('kill: what heeds no SIGTERM, in a group whose leader has ended well', async (t) => {
  const child = shell(`bash -c 'trap "" TERM; echo ready; sleep 300' & exit 0`)
  await once(child.stdout, 'data')
  await delay(200)
  child.kill()
  await t.rejects(child.exited, { code: 'INTERRUPTED' })
})

for (const [how, end] of [
  ['fails', 'exit 3'],
  ['is killed', 'kill -KILL $$'],
] as const) {
  t.test(`leader that ${how}: what it leaves sees no end of the input`, async (t) => {
    const dir = t.testdir({})
    const child = shell(`exec 3<&0; (cat <&3 >/dev/null; touch ${dir}/end) & sleep 0.2; ${end}`)
    child.stdin.on('error', () => {})
    child.stdout.resume()
    await t.rejects(child.exited, { code: 'ENGINE_FAILED' })
    t.ok(child.stdin.destroyed)
    await delay(200)
    t.notOk(existsSync(join(dir, 'end')))
  })
}

t.test('kill: a leader that failed before tells of that', async (t) => {
  const child = shell('sleep 300 & exit 3')
  child.stdout.resume()
  child.stdin.once('close', () => child.kill())
  await t.rejects(child.exited, { message: 'it ended with status 3' })
})

t.test('leader that ends well: what it leaves may still write, and is ended then', async (t) => {
  const file = join(t.testdir({}), 'pid')
  const child = shell(`(sleep 0.3; echo late) & sleep 300 <&- >&- 2>&- & echo $! >${file}; exit 0`)
  t.equal(await text(child.stdout), 'late\n')
  await child.exited
  await isGone(t, file)
})

t.test('leader that ends well: what it leaves may still read', async (t) => {
  const file = join(t.testdir({}), 'got')
  const child = shell(`exec 3<&0; (cat <&3 >${file}) & exit 0`)
  await delay(200)
  child.stdin.end('all of it')
  child.stdout.resume()
  await child.exited
  t.equal(await readFile(file, 'utf8'), 'all of it')
})

t.test('kill: does not wait for what left the group and holds the pipes', async (t) => {
  const file = join(t.testdir({}), 'pid')
  const child = shell(`setsid sh -c 'echo $$ >${file}; echo ready; exec sleep 300' & wait`)
  await once(child.stdout, 'data')
  child.kill()
  await t.rejects(child.exited, { code: 'INTERRUPTED' })
  process.kill(Number(await readFile(file, 'utf8')), 'SIGKILL')
})

t.test('ask: a signal ends what a program has started, which holds its pipes', async (t) => {
  const file = join(t.testdir({}), 'pid')
  const stop = new AbortController()
  const script = `(sleep 300; true) & echo $BASHPID >${file}; wait`
  const answer = runCommand('bash', ['-c', script], stop.signal)
  // The shell makes the file before it writes to it.
  await until('the program', async () => existsSync(file) && readFileSync(file).length > 0)
  stop.abort()
  t.match(await answer, { exitCode: null })
  await isGone(t, file)
})

t.test('ask: a signal does not wait for what left the group', async (t) => {
  const dir = t.testdir({})
  const stop = new AbortController()
  const escaped = `echo $$ >${dir}/pid; touch ${dir}/ready; exec sleep 300`
  const answer = runCommand('bash', ['-c', `setsid sh -c '${escaped}' & wait`], stop.signal)
  await until('the program', async () => existsSync(join(dir, 'ready')))
  stop.abort()
  t.match(await answer, { exitCode: null })
  process.kill(Number(await readFile(join(dir, 'pid'), 'utf8')), 'SIGKILL')
})

t.test('ask: told to stop before it began', async (t) => {
  t.match(await runCommand('sleep', ['300'], AbortSignal.abort()), { exitCode: null })
})

t.test('leadGroup: one that could not be started', async (t) => {
  const child = spawn('no-such-program', { detached: true })
  child.on('error', () => {})
  const group = leadGroup(child)
  t.notOk(group.isLeft())
  await group.end()
})

// The first process of some containers asks for nobody's status, as a Node does not.
t.test('leadGroup: the dead that nobody has asked for are not waited for', async (t) => {
  const said = await runAsFirst(`
    const { spawn } = await import('node:child_process')
    const { once } = await import('node:events')
    const { leadGroup } = await import(process.env.GROUP)
    const child = spawn('sh', ['-c', 'sleep 300 & echo; wait'], { detached: true })
    await once(child.stdout, 'data')
    const group = leadGroup(child)
    const start = performance.now()
    await group.end()
    console.log(process.pid, performance.now() - start < 1500, group.isLeft())
  `)
  t.equal(said, '1 true false\n')
})

/** @returns the stdout of a Node that is the first process of a namespace. */
async function runAsFirst(source: string): Promise<string> {
  const GROUP = new URL('../../../lib/io/process-group.ts', import.meta.url).href
  const first = ['--pid', '--fork', '--kill-child', '--mount-proc', process.execPath]
  const { stdout } = spawn('unshare', [...first, '--input-type=module', '-e', source], {
    env: { ...process.env, GROUP, NODE_OPTIONS: undefined },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return text(stdout)
}

t.test('signalGroups: reaches all groups', async (t) => {
  const children = [shell('echo; sleep 300; true'), shell('echo; sleep 300; true')]
  await Promise.all(children.map(({ stdout }) => once(stdout, 'data')))
  signalGroups('SIGKILL')
  for (const { exited, stdout } of children) {
    stdout.resume()
    await t.rejects(exited, { message: 'it ended with SIGKILL' })
  }
  signalGroups('SIGKILL')
})
