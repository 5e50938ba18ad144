import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'

import { ToolError, interrupted } from '../../../lib/core/errors.ts'
import { toOutcome, type Result } from '../../../lib/core/outcome.ts'

function attemptTo(
  act: () => Promise<Result>,
  signal = new AbortController().signal,
): ReturnType<typeof toOutcome> {
  return toOutcome('a:1', 'a-1.tar.xz', { signal }, act)
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

t.test('attempt: an interruption of the run ends it', async (t) => {
  const act = (): Promise<Result> => Promise.reject(interrupted())
  await t.rejects(attemptTo(act, AbortSignal.abort()), { code: 'INTERRUPTED' })
})

t.test('attempt: what was ended, though nobody interrupted the run, has failed', async (t) => {
  const outcome = await attemptTo(() => Promise.reject(interrupted()))
  t.match(outcome, { result: 'failed', error: { code: 'IO_FAILED', hint: 'try it again' } })
  const cause = new ToolError('MISMATCH', 'it was changed')
  const behind = new ToolError('INTERRUPTED', 'interrupted', { cause })
  t.equal((await attemptTo(() => Promise.reject(behind))).error, cause)
})

t.test('attempt: a bug ends the run', async (t) => {
  const bug = new TypeError('bug')
  await t.rejects(
    attemptTo(() => Promise.reject(bug)),
    bug,
  )
})
