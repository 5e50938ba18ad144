import t from 'tap'

import { interrupted } from '../../lib/core/errors.ts'
import type { Notice, VerbContext } from '../../lib/core/outcome.ts'
import { beginAhead } from '../../lib/work-ahead.ts'

/** A context that keeps what it is told. */
function listen(): { context: VerbContext; heard: string[]; stop: () => void } {
  const heard: string[] = []
  const controller = new AbortController()
  const notify = (notice: Notice): void =>
    void heard.push('text' in notice ? notice.text : notice.label)
  const stop = (): void => controller.abort()
  return { context: { notify, signal: controller.signal }, heard, stop }
}

const PROGRESS = { type: 'progress', label: 'progress', tarBytes: 1, archiveBytes: 1 } as const

t.test('beginAhead: it begins at once, and goes on in its turn', async (t) => {
  const { context, heard } = listen()
  const steps: string[] = []
  const ahead = beginAhead(context, async ({ notify }, { wait }) => {
    steps.push('begun')
    notify({ type: 'step', text: 'step' })
    notify(PROGRESS)
    await wait()
    steps.push('done')
    notify(PROGRESS)
    notify({ type: 'warning', text: 'warning' })
    return 7
  })
  await Promise.resolve()
  t.strictSame([steps, heard], [['begun'], []])
  t.equal(await ahead.take(), 7)
  t.strictSame(
    [steps, heard],
    [
      ['begun', 'done'],
      ['step', 'progress', 'warning'],
    ],
  )
  await ahead.cancel()
})

t.test('beginAhead: what failed before its turn is to be done anew', async (t) => {
  const { context, heard } = listen()
  const ahead = beginAhead(context, async ({ notify }) => {
    notify({ type: 'warning', text: 'no good' })
    throw new Error('no')
  })
  await Promise.resolve()
  t.equal(ahead.take(), undefined)
  t.strictSame(heard, [])
})

t.test('beginAhead: what fails in its turn has failed', async (t) => {
  const ahead = beginAhead(listen().context, async (_, { wait }) => {
    await wait()
    throw new Error('no')
  })
  await t.rejects(ahead.take() ?? Promise.resolve(), { message: 'no' })
})

t.test('beginAhead: it is ended, and its end awaited', async (t) => {
  const { context } = listen()
  let state = 'begun'
  const ahead = beginAhead(context, async ({ signal }, { wait }) => {
    await t.rejects(wait(), interrupted())
    t.ok(signal.aborted)
    state = 'ended'
  })
  await ahead.cancel()
  t.equal(state, 'ended')
  t.notOk(context.signal.aborted, 'nothing else is')
})

t.test('beginAhead: the end of the run is its end', async (t) => {
  const { context, stop } = listen()
  const ahead = beginAhead(context, async ({ signal }, { wait }) => {
    await wait()
    return signal.aborted
  })
  stop()
  t.equal(await ahead.take(), true)
})
