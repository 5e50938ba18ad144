import { once } from 'node:events'
import * as files from 'node:fs/promises'
import { readFile, readdir, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { mock } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'

import { openForWriting } from '../../../lib/commands/writing-run.ts'
import { Directory } from '../../../lib/delivery/directory.ts'
import { LOCK_NAME, checkLock, lockDirectory } from '../../../lib/io/directory-lock.ts'
import { parseHolder, type LockHolder } from '../../../lib/io/lock-holder.ts'
import { PLACES, SECOND_HOST, startElsewhere } from '../../fixtures/elsewhere.ts'
import { sh, startFile, type Running } from '../../fixtures/run.ts'

const HINT = 'wait for its end, or use another --dir'
// Nobody renews the locks here but the one of its own test.
const WATCH = { watchMs: 300 }
const LOCK_MODULE = new URL('../../../lib/io/directory-lock.ts', import.meta.url).href

/** A command that locks a directory, says so, and waits. */
function locker(dir: string): string[] {
  const script = `
    const { lockDirectory } = await import(${JSON.stringify(LOCK_MODULE)})
    try {
      const unlock = await lockDirectory(${JSON.stringify(dir)}, 'locker', { watchMs: 300 })
      process.once('SIGTERM', () => void unlock().then(() => process.exit(0)))
      console.log('locked')
      setInterval(() => {}, 1000)
    } catch (error) {
      console.log(error.code, error.message)
    }`
  return [process.execPath, '--input-type=module', '-e', script]
}

function startLocker(dir: string): Running {
  const [file = '', ...args] = locker(dir)
  return startFile(file, args)
}

async function firstWords({ child }: Running): Promise<string> {
  const [said] = child.stdout ? await once(child.stdout, 'data') : []
  return `${said}`.trim()
}

async function holderOf(dir: string): Promise<LockHolder | undefined> {
  return parseHolder(await readFile(join(dir, LOCK_NAME), 'utf8'))
}

/** Makes a lock as old as one that nobody has renewed for so long. */
async function age(dir: string, seconds: number): Promise<void> {
  const then = new Date(Date.now() - seconds * 1000)
  await utimes(join(dir, LOCK_NAME), then, then)
}

t.test('lockDirectory: one at a time, by whatever path; who refuses says who it is', async (t) => {
  const dir = t.testdir({ a: {}, b: {} })
  await symlink('a', join(dir, 'link'))
  const unlock = await lockDirectory(join(dir, 'a'), 'first', WATCH)
  const by = `\\(first, PID ${process.pid}, since \\d\\d:\\d\\d\\)`
  for (const path of ['a', 'a/.', 'link']) {
    const message = new RegExp(`^write to "${join(dir, path)}": locked by another run ${by}$`)
    await t.rejects(lockDirectory(join(dir, path), 'second', WATCH), {
      code: 'BUSY',
      hint: HINT,
      message,
    })
  }
  const unlockOther = await lockDirectory(join(dir, 'b'), 'second', WATCH)
  await unlock()
  t.strictSame(await readdir(join(dir, 'a')), [])
  const unlockAgain = await lockDirectory(join(dir, 'link'), 'second', WATCH)
  await Promise.all([unlockAgain(), unlockOther()])
})

t.test('lockDirectory: a killed process has it no more', async (t) => {
  const dir = t.testdir()
  const other = startLocker(dir)
  t.equal(await firstWords(other), 'locked')
  await t.rejects(lockDirectory(dir, 'test', WATCH), { code: 'BUSY', message: /\(locker, PID / })
  other.child.kill('SIGKILL')
  t.match(await other.done, { signal: 'SIGKILL' })
  t.equal((await holderOf(dir))?.pid, other.child.pid, 'the lock is left')
  await (
    await lockDirectory(dir, 'test', WATCH)
  )()
  t.strictSame(await readdir(dir), [])
})

for (const place of PLACES) {
  t.test(`lockDirectory: another ${place} sees it, and is seen`, async (t) => {
    const dir = t.testdir({ shared: {} })
    const shared = join(dir, 'shared')
    const unlock = await lockDirectory(shared, 'here', WATCH)
    const refused = await startElsewhere(place, dir, locker(shared))
    const here = {
      network: `here, PID ${process.pid}, since`,
      container: `here, PID ${process.pid} in another container, since`,
      host: `here, PID ${process.pid} on host "${hostname()}", since`,
    }
    t.match(await firstWords(refused), `BUSY write to "${shared}": locked by another run`)
    t.match((await refused.done).stdout, here[place])
    await unlock()

    const other = await startElsewhere(place, dir, locker(shared))
    t.equal(await firstWords(other), 'locked')
    const there = {
      network: /\(locker, PID \d+, since /,
      container: /\(locker, PID \d+ in another container, since /,
      host: new RegExp(`\\(locker, PID \\d+ on host "${SECOND_HOST}", since `),
    }
    await t.rejects(lockDirectory(shared, 'here', WATCH), { code: 'BUSY', message: there[place] })
    other.signalGroup('SIGKILL')
    await other.done
    if (place !== 'network') {
      await t.rejects(lockDirectory(shared, 'here', WATCH), { code: 'BUSY' }, 'its end is not seen')
      await age(shared, 61)
    }
    await (
      await lockDirectory(shared, 'here', WATCH)
    )()
    t.strictSame(await readdir(shared), [])
  })
}

t.test('lockDirectory: a process of that number that started later is another', async (t) => {
  const dir = t.testdir()
  const unlock = await lockDirectory(dir, 'test', WATCH)
  const text = await readFile(join(dir, LOCK_NAME), 'utf8')
  await unlock()
  await writeFile(join(dir, LOCK_NAME), text.replace(/"startTicks": "\d+"/, '"startTicks": "1"'))
  await (
    await lockDirectory(dir, 'test', WATCH)
  )()
})

// what it is, its content
const UNREADABLE: [string, string][] = [
  ['empty', ''],
  ['of something else', '{"pid":1}'],
  ['of control characters', '{"program":"\\u001b[31m"}'],
  ['large', ' '.repeat(5000)],
]

for (const [what, content] of UNREADABLE) {
  t.test(`lockDirectory: a lock file that is ${what} is free once it is old`, async (t) => {
    const dir = t.testdir({})
    const path = join(dir, LOCK_NAME)
    await writeFile(path, content)
    await t.rejects(lockDirectory(dir, 'test', WATCH), {
      code: 'BUSY',
      message: `write to "${dir}": locked, "${path}" does not say by whom`,
      hint: 'wait: it is free 60 s after its run ended; or remove it if no run writes there',
    })
    await age(dir, 61)
    await (
      await lockDirectory(dir, 'test', WATCH)
    )()
    t.strictSame(await readdir(dir), [])
  })
}

t.test('lockDirectory: of many that take over a dead lock, one has it', async (t) => {
  for (let round = 0; round < 20; round++) {
    const dir = t.testdir({})
    await writeFile(join(dir, LOCK_NAME), '')
    await age(dir, 61)
    const taken = await Promise.allSettled(
      Array.from({ length: 8 }, (_, n) => lockDirectory(dir, `taker ${n}`, WATCH)),
    )
    const won = taken.filter((each) => each.status === 'fulfilled')
    t.equal(won.length, 1)
    for (const { reason } of taken.filter((each) => each.status === 'rejected')) {
      t.equal(reason.code, 'BUSY', reason.message)
    }
    t.strictSame(await readdir(dir), [LOCK_NAME])
    for (const { value: unlock } of won) await unlock()
    t.strictSame(await readdir(dir), [])
  }
})

t.test('lockDirectory: a run that was killed while it took over is in nobody’s way', async (t) => {
  const dir = t.testdir({})
  const unlockBefore = await lockDirectory(dir, 'test', WATCH)
  const text = await readFile(join(dir, LOCK_NAME), 'utf8')
  await unlockBefore()
  const dead = text.replace(/"startTicks": "\d+"/, '"startTicks": "1"')
  await writeFile(join(dir, LOCK_NAME), dead)
  await writeFile(join(dir, `${LOCK_NAME}.takeover`), dead)
  const unlock = await lockDirectory(dir, 'test', WATCH)
  t.strictSame(await readdir(dir), [LOCK_NAME])
  await unlock()
  await writeFile(join(dir, LOCK_NAME), dead)
  await writeFile(join(dir, `${LOCK_NAME}.takeover`), text)
  await t.rejects(lockDirectory(dir, 'test', WATCH), {
    code: 'BUSY',
    message: `write to "${dir}": other runs want to write there`,
  })
})

t.test('lockDirectory: of two processes that take over a dead lock, one has it', async (t) => {
  for (let round = 0; round < 3; round++) {
    const dir = t.testdir({})
    await writeFile(join(dir, LOCK_NAME), '')
    await age(dir, 61)
    const others = [startLocker(dir), startLocker(dir), startLocker(dir)]
    const said = await Promise.all(others.map(firstWords))
    t.equal(said.filter((words) => words === 'locked').length, 1, said.join())
    t.equal(said.filter((words) => words.startsWith('BUSY ')).length, 2)
    for (const { child } of others) child.kill('SIGTERM')
    await Promise.all(others.map(({ done }) => done))
    t.strictSame(await readdir(dir), [])
  }
})

t.test('lockDirectory: its lock is renewed while it works', async (t) => {
  const dir = t.testdir({})
  mock.timers.enable({ apis: ['setInterval'] })
  const unlock = await lockDirectory(dir, 'test', WATCH)
  const before = await readFile(join(dir, LOCK_NAME), 'utf8')
  await age(dir, 50)
  const { mtimeMs } = await stat(join(dir, LOCK_NAME))
  mock.timers.tick(5000)
  mock.timers.reset()
  await waitFor(async () => (await stat(join(dir, LOCK_NAME))).mtimeMs > mtimeMs + 40_000)
  t.equal(await readFile(join(dir, LOCK_NAME), 'utf8'), before)
  await unlock()
})

async function waitFor(look: () => Promise<boolean>): Promise<void> {
  for (let n = 0; n < 500 && !(await look()); n++) await sh('sleep 0.02')
}

t.test('checkLock: passes with the lock, and where this process locked nothing', async (t) => {
  const dir = t.testdir({})
  await t.resolves(checkLock(dir))
  const unlock = await lockDirectory(dir, 'test', WATCH)
  await t.resolves(checkLock(join(dir, '.')))
  await unlock()
  await t.resolves(checkLock(dir))
})

t.test('checkLock: a run whose lock was taken finds out, and leaves it to the other', async (t) => {
  const dir = t.testdir({})
  const unlock = await lockDirectory(dir, 'test', WATCH)
  const mine = await holderOf(dir)
  const taken = await takeFrom(t, dir)
  await t.rejects(checkLock(dir), {
    code: 'BUSY',
    message: new RegExp(
      `^write to "${dir}": lost its lock to another run \\(locker, PID \\d+ on host "${SECOND_HOST}", since `,
    ),
    hint: /^it was suspended for long, or somebody removed the lock: run it again/,
  })
  await unlock()
  t.not((await holderOf(dir))?.nonce, mine?.nonce)
  t.ok(await holderOf(dir), 'the other still has it')
  taken.signalGroup('SIGKILL')
  await taken.done
})

async function takeFrom(t: Test, dir: string): Promise<Running> {
  await age(dir, 61)
  const running = await startElsewhere('host', t.testdir({ dir: {} }), locker(dir))
  t.equal(await firstWords(running), 'locked')
  return running
}

t.test('checkLock: tells where somebody removed the lock', async (t) => {
  const dir = t.testdir({})
  const unlock = await lockDirectory(dir, 'test', WATCH)
  await rm(join(dir, LOCK_NAME))
  await t.rejects(checkLock(dir), { code: 'BUSY', message: `write to "${dir}": lost its lock` })
  await unlock()
})

for (const code of ['EPERM', 'EOPNOTSUPP']) {
  t.test(`lockDirectory: on a file system without links (${code})`, async (t) => {
    const link = (path: string): Promise<never> =>
      Promise.reject(Object.assign(new Error(code), { code, syscall: 'link', path }))
    const { lockDirectory: lock } = await t.mockImport<
      typeof import('../../../lib/io/directory-lock.ts')
    >('../../../lib/io/directory-lock.ts', { 'node:fs/promises': t.createMock(files, { link }) })
    const dir = t.testdir({})
    const unlock = await lock(dir, 'test', WATCH)
    t.strictSame(await readdir(dir), [LOCK_NAME])
    await t.rejects(lock(dir, 'other', WATCH), { code: 'BUSY', message: /\(test, PID / })
    await unlock()
    await writeFile(join(dir, LOCK_NAME), '')
    await age(dir, 61)
    const taken = await Promise.allSettled([
      lock(dir, 'a', WATCH),
      lock(dir, 'b', WATCH),
      lock(dir, 'c', WATCH),
    ])
    t.equal(taken.filter((each) => each.status === 'fulfilled').length, 1)
  })
}

t.test('lockDirectory: tells where there is no directory, or none to write to', async (t) => {
  await t.rejects(lockDirectory(join(t.testdir(), 'none'), 'test'), { code: 'ENOENT' })
  await t.rejects(lockDirectory('/sys', 'test', WATCH), { code: /^(?:EACCES|EPERM|EROFS)$/ })
})

t.test('lockDirectory: what is not a plain file is nobody’s lock, and is left alone', async (t) => {
  const dir = t.testdir({ a: { [LOCK_NAME]: { mine: 'x' } }, b: {} })
  await symlink('none', join(dir, 'b', LOCK_NAME))
  await age(join(dir, 'a'), 3600)
  for (const each of ['a', 'b']) {
    await t.rejects(lockDirectory(join(dir, each), 'test', WATCH), {
      code: 'BUSY',
      message: /is not a plain file$/,
    })
  }
  t.equal(await readFile(join(dir, 'a', LOCK_NAME, 'mine'), 'utf8'), 'x')
})

t.test(
  'lockDirectory: a run that is seen to run keeps its lock, however old that looks',
  async (t) => {
    const dir = t.testdir({})
    const unlock = await lockDirectory(dir, 'test', WATCH)
    for (const seconds of [3600, -3600]) {
      await age(dir, seconds)
      await t.rejects(lockDirectory(dir, 'other', WATCH), { code: 'BUSY', hint: HINT })
    }
    await unlock()
  },
)

t.test('lockDirectory: an old lock that is renewed meanwhile is another run’s', async (t) => {
  const dir = t.testdir({})
  const path = join(dir, LOCK_NAME)
  for (const seconds of [3600, -3600]) {
    await writeFile(path, '')
    await age(dir, seconds)
    const waits: string[] = []
    const onWait = (why: string): void => void waits.push(why)
    const taking = lockDirectory(dir, 'test', { watchMs: 1000, onWait })
    await waitFor(async () => waits.length > 0)
    await writeFile(path, '')
    await t.rejects(taking, { code: 'BUSY', message: /does not say by whom$/ })
    t.match(waits, [/^looking for 1 s whether a run still writes here/])
    await age(dir, seconds)
    await (
      await lockDirectory(dir, 'test', WATCH)
    )()
  }
})

t.test('openForWriting: of many runs at once one works, and the others are refused', async (t) => {
  const context = { notify: () => {}, signal: new AbortController().signal }
  for (let round = 0; round < 20; round++) {
    const dir = t.testdir({})
    const runs = Array.from({ length: 6 }, async (_, n) => {
      await sleep(n)
      return openForWriting(new Directory(dir), `run ${n}`, context)
    })
    const opened = await Promise.allSettled(runs)
    t.equal(opened.filter(({ status }) => status === 'fulfilled').length, 1)
    for (const each of opened) {
      if (each.status === 'fulfilled') await each.value()
      else t.match(each.reason, { code: 'BUSY' })
    }
    t.strictSame(await readdir(dir), [])
  }
})
