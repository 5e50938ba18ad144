import { EventEmitter, once } from 'node:events'
import { symlink } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { lockDirectory } from '../../lib/directory-lock.ts'
import { startFile } from '../fixtures/run.ts'

const BUSY = { code: 'BUSY', hint: 'wait for its end, or use another --dir' }

t.test('lockDirectory: one at a time, by whatever path', async (t) => {
  const dir = t.testdir({ a: {}, b: {} })
  await symlink('a', join(dir, 'link'))
  const unlock = await lockDirectory(join(dir, 'a'))
  for (const path of ['a', 'a/.', 'link']) {
    const message = `write to "${join(dir, path)}": another run is writing there`
    await t.rejects(lockDirectory(join(dir, path)), { ...BUSY, message })
  }
  const unlockOther = await lockDirectory(join(dir, 'b'))
  await unlock()
  const unlockAgain = await lockDirectory(join(dir, 'link'))
  await Promise.all([unlockAgain(), unlockOther()])
})

t.test('lockDirectory: a killed process has it no more', async (t) => {
  const dir = t.testdir()
  const module = new URL('../../lib/directory-lock.ts', import.meta.url).href
  const script = `
    const { lockDirectory } = await import(${JSON.stringify(module)})
    await lockDirectory(${JSON.stringify(dir)})
    console.log('locked')
    setInterval(() => {}, 1000)`
  const other = startFile(process.execPath, ['--input-type=module', '-e', script])
  if (other.child.stdout) await once(other.child.stdout, 'data')
  await t.rejects(lockDirectory(dir), BUSY)
  other.child.kill('SIGKILL')
  t.match(await other.done, { signal: 'SIGKILL', stdout: 'locked' })
  const unlock = await lockDirectory(dir)
  await unlock()
})

t.test('lockDirectory: what else the system says is not taken for another run', async (t) => {
  const error = Object.assign(new Error('listen ENOSYS'), { code: 'ENOSYS', syscall: 'listen' })
  const createServer = (): EventEmitter =>
    Object.assign(new EventEmitter(), {
      listen(this: EventEmitter) {
        this.emit('error', error)
      },
    })
  const { lockDirectory: lock } = await t.mockImport<typeof import('../../lib/directory-lock.ts')>(
    '../../lib/directory-lock.ts',
    { 'node:net': { createServer } },
  )
  await t.rejects(lock(t.testdir()), error)
})

t.test('lockDirectory: tells where there is no directory', async (t) => {
  await t.rejects(lockDirectory(join(t.testdir(), 'none')), { code: 'ENOENT' })
})
