import t, { type Test } from 'tap'

import { prefetch, type LoadOne, LoadQueue } from '../../../../lib/commands/load/queue.ts'
import { interrupted, ToolError, type ErrorCode } from '../../../../lib/core/errors.ts'
import type { Notice, VerbContext } from '../../../../lib/core/outcome.ts'
import type { ArchivedImage } from '../../../../lib/image/docker-archive.ts'

const TARGETS = ['a', 'b', 'c', 'd', 'e', 'f'].map((label) => ({
  label,
  archive: `${label}.tar.xz`,
}))

/** Loads archives, three if not told; gives what was done, in its order. */
function queueOf(
  t: Test,
  options: { mostAhead?: number; fails?: Record<string, ErrorCode>; count?: number } = {},
): { queue: LoadQueue; done: string[]; loadAll: () => Promise<unknown[]> } {
  const { mostAhead = 3, fails = {}, count = 3 } = options
  const targets = TARGETS.slice(0, count)
  const done: string[] = []
  const loadOne: LoadOne = async ({ label }, { notify, signal }, turn) => {
    done.push(`${label} begins before ${turn ? turn.before.length : 'none'}`)
    notify({ type: 'step', text: label })
    await new Promise(setImmediate)
    turn?.onSent([IMAGE])
    await turn?.wait()
    // The engine unpacks it: long enough for all that may begin meanwhile.
    for (let turns = 0; turns < 20; turns++) await new Promise(setImmediate)
    const code = fails[label]
    delete fails[label]
    if (code) throw new ToolError(code, label)
    done.push(`${label} ends`)
    t.notOk(signal.aborted)
    return { result: 'loaded' }
  }
  const notify = (notice: Notice): void => {
    if ('text' in notice) done.push(`${notice.type} ${notice.text}`)
  }
  const context = { notify, signal: new AbortController().signal }
  const queue = new LoadQueue(targets, context, mostAhead, loadOne)
  const loadAll = async (): Promise<unknown[]> => {
    const results: unknown[] = []
    for (const target of targets) {
      results.push(
        await queue.load(target).then(
          ({ result }) => result,
          ({ code }) => code,
        ),
      )
    }
    return results
  }
  return { queue, done, loadAll }
}

const IMAGE: ArchivedImage = {
  config: { digest: 'sha256:0' },
  repoTags: ['a:1'],
  platform: 'linux/amd64',
  manifests: [],
  layers: [],
}

t.test('LoadQueue: the next begin while one is taken, and speak in their turn', async (t) => {
  const { done, loadAll } = queueOf(t)
  t.strictSame(await loadAll(), ['loaded', 'loaded', 'loaded'])
  t.strictSame(done, [
    'a begins before 0',
    'step a',
    'b begins before 1',
    'c begins before 2',
    'a ends',
    'step b',
    'b ends',
    'step c',
    'c ends',
  ])
})

t.test('LoadQueue: no more than three begin ahead', async (t) => {
  const { done, loadAll } = queueOf(t, { count: 6 })
  await loadAll()
  const begun = done.filter((line) => /begins|ends/.test(line))
  t.strictSame(begun, [
    'a begins before 0',
    'b begins before 1',
    'c begins before 2',
    'd begins before 3',
    'a ends',
    'e begins before 4',
    'b ends',
    'f begins before 5',
    'c ends',
    'd ends',
    'e ends',
    'f ends',
  ])
})

t.test('LoadQueue: one after the other, where that is wanted', async (t) => {
  const { done, loadAll } = queueOf(t, { mostAhead: 0 })
  await loadAll()
  t.strictSame(
    done,
    ['a', 'b', 'c'].flatMap((each) => [`${each} begins before 0`, `step ${each}`, `${each} ends`]),
  )
})

t.test('LoadQueue: after a failure the next begins anew', async (t) => {
  const { done, loadAll } = queueOf(t, { fails: { a: 'ENGINE_FAILED' } })
  t.strictSame(await loadAll(), ['ENGINE_FAILED', 'loaded', 'loaded'])
  t.strictSame(done.slice(0, 6), [
    'a begins before 0',
    'step a',
    'b begins before 1',
    'c begins before 2',
    'b begins before 0',
    'step b',
  ])
})

t.test('LoadQueue: one that lacked room is tried again alone', async (t) => {
  const { done, loadAll } = queueOf(t, { fails: { a: 'NO_SPACE' } })
  t.strictSame(await loadAll(), ['loaded', 'loaded', 'loaded'])
  t.strictSame(done.slice(2, 7), [
    'b begins before 1',
    'c begins before 2',
    'warning a; it is loaded again, alone',
    'a begins before none',
    'step a',
  ])
})

t.test('LoadQueue: one that lacks room alone has failed', async (t) => {
  const { loadAll } = queueOf(t, { fails: { c: 'NO_SPACE' } })
  t.strictSame(await loadAll(), ['loaded', 'loaded', 'NO_SPACE'])
})

t.test('LoadQueue: at its end nothing is left', async (t) => {
  const { queue, done } = queueOf(t)
  const [first] = TARGETS
  if (first) await queue.load(first)
  await queue.end()
  t.equal(done.at(-1), 'a ends')
  await queue.end()
})

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
  const ahead = prefetch(context, async ({ notify }, { wait }) => {
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
  const ahead = prefetch(context, async ({ notify }) => {
    notify({ type: 'warning', text: 'no good' })
    throw new Error('no')
  })
  await Promise.resolve()
  t.equal(ahead.take(), undefined)
  t.strictSame(heard, [])
})

t.test('beginAhead: what fails in its turn has failed', async (t) => {
  const ahead = prefetch(listen().context, async (_, { wait }) => {
    await wait()
    throw new Error('no')
  })
  await t.rejects(ahead.take() ?? Promise.resolve(), { message: 'no' })
})

t.test('beginAhead: it is ended, and its end awaited', async (t) => {
  const { context } = listen()
  let state = 'begun'
  const ahead = prefetch(context, async ({ signal }, { wait }) => {
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
  const ahead = prefetch(context, async ({ signal }, { wait }) => {
    await wait()
    return signal.aborted
  })
  stop()
  t.equal(await ahead.take(), true)
})
