import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'

import { ToolError } from '../../../lib/core/errors.ts'
import { startChild, withChildren } from '../../../lib/io/child.ts'
import type { Task } from '../../../lib/io/task.ts'

/** A shell, whose failure is told with what it said. */
function shell(script: string, name = 'sh'): Task {
  return startChild('sh', ['-c', script], {
    toError: (stderr) => new ToolError('ENGINE_FAILED', `${name}: ${stderr}`),
  })
}

const NEVER = new AbortController().signal

t.test('startChild: bytes go in and come out', async (t) => {
  const child = shell('tr a-z A-Z')
  child.stdin.end('abc')
  t.equal(await text(child.stdout), 'ABC')
  await child.exited
})

t.test('startChild: arguments are handed over as they are', async (t) => {
  const args = ['$HOME', 'a b', '*', '']
  const child = startChild('printf', ['<%s>', ...args], {
    toError: () => new ToolError('BUSY', ''),
  })
  t.equal(await text(child.stdout), '<$HOME><a b><*><>')
  await child.exited
})

// script, what its failure tells
const FAILURES: [string, string][] = [
  ['exit 3', 'sh: it ended with status 3'],
  ['echo why >&2; exit 1', 'sh: why'],
  ['echo " first"; echo " second " >&2; exit 1', 'sh: second'],
  ['kill -9 $$', 'sh: it ended with SIGKILL'],
  ['echo dying >&2; kill -TERM $$', 'sh: dying'],
]

for (const [script, message] of FAILURES) {
  t.test(`exited: ${script}`, async (t) => {
    const child = shell(script)
    child.stdout.resume()
    await t.rejects(child.exited, { code: 'ENGINE_FAILED', message: new RegExp(`^${message}$`) })
  })
}

t.test('exited: only the end of a long stderr is kept', async (t) => {
  const child = shell('head -c 100000 /dev/zero | tr "\\0" x >&2; echo END >&2; exit 1')
  const error: unknown = await child.exited.catch((thrown: unknown) => thrown)
  t.match(error, { message: /x\nEND\n?$|xEND$/ })
  t.ok(error instanceof Error && error.message.length <= 4096 + 'sh: '.length)
})

t.test('exited: a program that is not there', async (t) => {
  const child = startChild('no-such-program', [], {
    toError: (why) => new ToolError('NO_ENGINE', why),
  })
  await t.rejects(child.exited, { code: 'NO_ENGINE', message: 'spawn no-such-program ENOENT' })
})

t.test('exited: may be looked at late', async (t) => {
  const child = shell('exit 1')
  child.stdout.resume()
  await delay(100)
  await t.rejects(child.exited, { code: 'ENGINE_FAILED' })
})

t.test('kill: ends a child, and tells that it was told to stop', async (t) => {
  const child = shell('exec sleep 60')
  child.kill()
  await t.rejects(child.exited, { code: 'INTERRUPTED' })
  child.kill()
})

t.test('kill: does not wait for ever for one that heeds no SIGTERM', async (t) => {
  const child = shell('trap "" TERM; echo ready; while :; do sleep 0.1; done')
  await once(child.stdout, 'data')
  const start = performance.now()
  child.kill()
  await t.rejects(child.exited, { code: 'INTERRUPTED' })
  const elapsedMs = performance.now() - start
  t.ok(elapsedMs > 1900 && elapsedMs < 10_000, `${Math.round(elapsedMs)} ms`)
})

t.test('kill: the hard way at once, where that was asked for', async (t) => {
  const child = shell('trap "" TERM; echo ready; while :; do sleep 0.1; done')
  await once(child.stdout, 'data')
  const start = performance.now()
  child.kill('SIGKILL')
  await t.rejects(child.exited, { code: 'INTERRUPTED' })
  const elapsedMs = performance.now() - start
  t.ok(elapsedMs < 1500, `${Math.round(elapsedMs)} ms`)
})

t.test('kill: one that has ended stays as it ended', async (t) => {
  const child = shell('true')
  child.stdout.resume()
  await child.exited
  child.kill()
  await t.resolves(child.exited)
})

// A pipe holds 64 KiB: the first cannot end before it is ended, the second has.
for (const bytes of [1_000_000, 60_000]) {
  t.test(`kill: one of whose output ${bytes} bytes are not taken closes`, async (t) => {
    const child = shell(`head -c ${bytes} /dev/zero; exec true`)
    child.stdout.pause()
    await once(child.stdout, 'readable')
    await delay(100)
    child.kill()
    await child.exited.catch((error: unknown) => t.match(error, { code: 'INTERRUPTED' }))
    t.pass('it closed')
  })
}

t.test('withChildren: does not wait for output that the work leaves behind', async (t) => {
  const child = shell('head -c 1000000 /dev/zero')
  const chunks = child.stdout[Symbol.asyncIterator]()
  const work = chunks.next().then(() => Promise.reject(new ToolError('MISMATCH', 'wrong')))
  await t.rejects(withChildren([child], NEVER, work), { code: 'MISMATCH' })
})

t.test('inherit: its output goes to stderr, stdout is empty', async (t) => {
  const child = startChild('true', [], {
    stdout: 'inherit',
    toError: () => new ToolError('BUSY', ''),
  })
  t.equal(await text(child.stdout), '')
  await child.exited
})

t.test('withChildren: gives what the work came to, once all have ended', async (t) => {
  const [first, second] = [shell('printf abc'), shell('cat; sleep 0.2')]
  const out = text(second.stdout)
  const work = pipeline(first.stdout, second.stdin).then(() => out)
  t.equal(await withChildren([first, second], NEVER, work), 'abc')
  await t.resolves(Promise.all([first.exited, second.exited]))
})

t.test('withChildren: one that fails ends the others', async (t) => {
  const [bad, endless] = [shell('echo broken >&2; exit 1', 'bad'), shell('exec sleep 60')]
  const work = Promise.all([bad, endless].map((child) => text(child.stdout)))
  await t.rejects(withChildren([bad, endless], NEVER, work), {
    code: 'ENGINE_FAILED',
    message: 'bad: broken',
  })
  await t.rejects(endless.exited, { code: 'INTERRUPTED' })
})

// Either may be seen to end first: the source of SIGPIPE, or the sink.
for (const script of ['head -c 10 >/dev/null', 'exec <&-; sleep 0.3']) {
  t.test(`withChildren: of a broken pipe, tells what broke it: ${script}`, async (t) => {
    const source = shell('exec cat /dev/zero', 'source')
    const sink = shell(`${script}; echo full >&2; exit 1`, 'sink')
    sink.stdout.resume()
    const work = pipeline(source.stdout, sink.stdin)
    await t.rejects(withChildren([source, sink], NEVER, work), { message: /^sink: full$/ })
    await t.rejects(source.exited)
  })
}

t.test('withChildren: a broken pipe alone is told', async (t) => {
  const child = shell('kill -PIPE $$', 'source')
  await t.rejects(withChildren([child], NEVER, text(child.stdout)), {
    message: 'source: it ended with SIGPIPE',
  })
})

t.test('withChildren: of a tar that stops short, tells what died before it', async (t) => {
  const dead = shell('sleep 0.2; echo out of memory >&2; exit 1', 'save')
  dead.stdout.resume()
  const work = Promise.reject(new ToolError('TRUNCATED_TAR', 'it stops'))
  await t.rejects(withChildren([dead], NEVER, work), { message: 'save: out of memory' })
})

t.test('withChildren: a tar that stops short by itself is told as that', async (t) => {
  const fine = shell('true')
  fine.stdout.resume()
  const work = Promise.reject(new ToolError('TRUNCATED_TAR', 'it stops'))
  await t.rejects(withChildren([fine], NEVER, work), { code: 'TRUNCATED_TAR' })
})

for (const code of ['EPIPE', 'ECONNRESET', 'ECANCELED']) {
  t.test(`withChildren: of a write that ends with ${code}, tells what died`, async (t) => {
    const dead = shell('sleep 0.2; echo out of memory >&2; exit 1', 'pixz')
    dead.stdout.resume()
    const broken = Object.assign(new Error(`write ${code}`), { code, syscall: 'write' })
    await t.rejects(withChildren([dead], NEVER, Promise.reject(broken)), {
      message: 'pixz: out of memory',
    })
  })
}

t.test('withChildren: a broken pipe that nothing explains is told, in a while', async (t) => {
  const endless = shell('exec sleep 60')
  const broken = Object.assign(new Error('write EPIPE'), { code: 'EPIPE', syscall: 'write' })
  await t.rejects(withChildren([endless], NEVER, Promise.reject(broken)), { code: 'EPIPE' })
  await t.rejects(endless.exited, { code: 'INTERRUPTED' })
})

t.test('withChildren: an error of the work itself is told, and ends all', async (t) => {
  const endless = shell('exec sleep 60')
  const work = Promise.reject(new ToolError('BAD_TAR', 'broken'))
  await t.rejects(withChildren([endless], NEVER, work), { code: 'BAD_TAR' })
  await t.rejects(endless.exited, { code: 'INTERRUPTED' })
})

t.test('withChildren: a stream that ended too early is told by its child', async (t) => {
  const child = shell('printf abc; echo cut >&2; exit 1', 'child')
  const source = new Readable({ read: () => {} })
  child.stdout.on('end', () => source.destroy())
  const work = Promise.all([text(child.stdout), pipeline(source, child.stdin)])
  await t.rejects(withChildren([child], NEVER, work), { message: 'child: cut' })
})

for (const ms of [0, 100]) {
  t.test(`withChildren: told to stop after ${ms} ms, ends all`, async (t) => {
    const controller = new AbortController()
    if (ms === 0) controller.abort()
    else setTimeout(() => controller.abort(), ms)
    const children = [shell('exec sleep 60'), shell('exec cat')]
    const work = Promise.all(children.map((child) => text(child.stdout)))
    await t.rejects(withChildren(children, controller.signal, work), { code: 'INTERRUPTED' })
    for (const child of children) await t.rejects(child.exited, { code: 'INTERRUPTED' })
  })
}

t.test('withChildren: an interruption is told rather than what it broke', async (t) => {
  const controller = new AbortController()
  const child = shell('exec sleep 60')
  const work = text(child.stdout).then(() => Promise.reject(new ToolError('TRUNCATED_TAR', 'x')))
  setTimeout(() => controller.abort(), 50)
  await t.rejects(withChildren([child], controller.signal, work), { code: 'INTERRUPTED' })
})

t.test('withChildren: an interruption that comes while it looks for the reason', async (t) => {
  const controller = new AbortController()
  const child = shell('exec sleep 60')
  const work = Promise.reject(new ToolError('TRUNCATED_TAR', 'it stops'))
  setTimeout(() => controller.abort(), 50)
  await t.rejects(withChildren([child], controller.signal, work), { code: 'INTERRUPTED' })
})

t.test('withChildren: of several reasons, tells the one that is no symptom', async (t) => {
  const broken = Object.assign(new Error('write EPIPE'), { code: 'EPIPE', syscall: 'write' })
  const root = new ToolError('MISMATCH', 'it was changed')
  const child = shell('exec sleep 60')
  const work = Promise.reject(new AggregateError([broken, root]))
  await t.rejects(withChildren([child], NEVER, work), root)
})

t.test('withChildren: one was ended for a reason that the work tells late', async (t) => {
  const [ended, hung] = [shell('exec sleep 60'), shell('exec sleep 60')]
  const late = async (): Promise<never> => {
    ended.kill('SIGKILL')
    // It waits for the other, which nothing but its end lets go on.
    await hung.exited.catch(() => {})
    throw new ToolError('MISMATCH', 'it was changed')
  }
  await t.rejects(withChildren([ended, hung], NEVER, late()), { code: 'MISMATCH' })
})

t.test('startChild, runCommand: there is no room for one more process', async (t) => {
  const said = await runUnprivileged(`
    const { execFileSync } = await import('node:child_process')
    const { startChild } = await import(process.env.CHILD)
    const { runCommand } = await import(process.env.CHILD.replace('child.ts', 'run-command.ts'))
    execFileSync('prlimit', ['--nproc=1', '--pid', String(process.pid)])
    const child = startChild('true', [], { toError: (stderr) => new Error('explained: ' + stderr) })
    for (const failing of [child.exited, runCommand('true', [])]) {
      console.log(await failing.catch(({ code, message, hint }) => [code, message, hint].join('|')))
    }
  `)
  const hint = 'use fewer --threads, or end other programs'
  t.strictSame(said.split('\n'), [
    `NO_MEMORY|start "true": spawn true EAGAIN|${hint}`,
    `NO_MEMORY|start "true": spawn /usr/bin/bash EAGAIN|${hint}`,
    '',
  ])
})

t.test('startChild: what Node throws for is how the child fails', async (t) => {
  const error = Object.assign(new Error('spawn ENOMEM'), { code: 'ENOMEM', syscall: 'spawn' })
  const mocked = await t.mockImport<typeof import('../../../lib/io/child.ts')>(
    '../../../lib/io/child.ts',
    {
      'node:child_process': {
        spawn() {
          throw error
        },
      },
    },
  )
  const child = mocked.startChild('sh', [], { toError: () => new ToolError('ENGINE_FAILED', '') })
  await t.rejects(child.exited, { code: 'NO_MEMORY', message: 'start "sh": spawn ENOMEM' })
  t.equal(await text(child.stdout), '')
  child.kill()
  await t.rejects(pipeline(Readable.from(['x']), child.stdin))
})

t.test('startChild: no descriptor is left for its pipes', async (t) => {
  const said = await runWithFew(`
    const { openSync, closeSync } = await import('node:fs')
    const { startChild } = await import(process.env.CHILD)
    const taken = []
    try { for (;;) taken.push(openSync('/dev/null')) } catch {}
    const child = startChild('true', [], { toError: (stderr) => new Error('explained: ' + stderr) })
    const failure = await child.exited.catch((error) => error)
    taken.forEach(closeSync)
    child.kill()
    child.stdin.end()
    let bytes = 0
    for await (const chunk of child.stdout) bytes += chunk.length
    console.log(failure.message, bytes)
  `)
  t.match(said, /^explained: .*EMFILE.* 0\n$/)
})

/** @returns the stdout of a Node that may have few open files. */
async function runWithFew(source: string): Promise<string> {
  const CHILD = new URL('../../../lib/io/child.ts', import.meta.url).href
  const args = ['-c', 'ulimit -n 200; exec "$0" --input-type=module -e "$1"', process.execPath]
  const { stdout } = spawn('sh', [...args, source], {
    env: { ...process.env, CHILD },
    // What tells of coverage cannot write where this user may not.
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  return text(stdout)
}

// One that is not root, whose processes are counted, and who reads all the same.
const UNPRIVILEGED = [
  '--reuid=64738',
  '--clear-groups',
  '--inh-caps=+dac_read_search',
  '--ambient-caps=+dac_read_search',
]

/** @returns the stdout of a Node of another user. */
async function runUnprivileged(source: string): Promise<string> {
  const CHILD = new URL('../../../lib/io/child.ts', import.meta.url).href
  const args = [...UNPRIVILEGED, process.execPath, '--input-type=module', '-e', source]
  const { stdout } = spawn('setpriv', args, {
    env: { ...process.env, CHILD, NODE_OPTIONS: undefined },
    // What tells of coverage cannot write where this user may not.
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  return text(stdout)
}
