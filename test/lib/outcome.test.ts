import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'

import { ToolError, interrupted } from '../../lib/errors.ts'
import { attempt, type Result } from '../../lib/outcome.ts'

function attemptTo(act: () => Promise<Result>): ReturnType<typeof attempt> {
  return attempt('a:1', 'a-1.tar.xz', act)
}

t.test('attempt: adds to a result for what it was and how long it took', async (t) => {
  const outcome = await attemptTo(async () => {
    await delay(20)
    return { result: 'saved', tarBytes: 5 }
  })
  const { elapsedMs, ...rest } = outcome
  t.strictSame(rest, {
    image: 'a:1',
    archive: 'a-1.tar.xz',
    notes: [],
    result: 'saved',
    tarBytes: 5,
  })
  t.ok(Number.isInteger(elapsedMs) && elapsedMs >= 19 && elapsedMs < 5000, `${elapsedMs} ms`)
})

t.test('attempt: keeps the notes', async (t) => {
  t.match(await attemptTo(async () => ({ result: 'loaded', notes: ['x'] })), { notes: ['x'] })
})

t.test('attempt: an expected error is a failed outcome', async (t) => {
  const error = new ToolError('NO_IMAGE', 'no image')
  const outcome = await attemptTo(() => Promise.reject(error))
  t.match(outcome, { image: 'a:1', archive: 'a-1.tar.xz', result: 'failed', notes: [] })
  t.equal(outcome.error, error)
})

t.test('attempt: what the operating system refuses is a failed outcome', async (t) => {
  const dir = t.testdir()
  const { error } = await attemptTo(async () => {
    await readFile(`${dir}/gone`)
    return { result: 'saved' }
  })
  t.match(error, { code: 'IO_FAILED' })
})

// what, the error
const THROWN: [string, Error][] = [
  ['an interruption', interrupted()],
  ['a bug', new TypeError('bug')],
]

for (const [what, error] of THROWN) {
  t.test(`attempt: ${what} ends the run`, async (t) => {
    await t.rejects(
      attemptTo(() => Promise.reject(error)),
      error,
    )
  })
}
