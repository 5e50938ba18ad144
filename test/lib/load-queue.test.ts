import t, { type Test } from 'tap'

import type { ArchivedImage } from '../../lib/docker-archive.ts'
import { ToolError, type ErrorCode } from '../../lib/errors.ts'
import { createLoadQueue, type LoadOne, type LoadQueue } from '../../lib/load-queue.ts'
import type { Notice } from '../../lib/outcome.ts'

const TARGETS = ['a', 'b', 'c'].map((label) => ({ label, archive: `${label}.tar.xz` }))

/** Loads three archives; gives what was done, in its order. */
function queueOf(
  t: Test,
  options: { isParallel?: boolean; fails?: Record<string, ErrorCode> } = {},
): { queue: LoadQueue; done: string[]; loadAll: () => Promise<unknown[]> } {
  const { isParallel = true, fails = {} } = options
  const done: string[] = []
  const loadOne: LoadOne = async ({ label }, { notify, signal }, turn) => {
    done.push(`${label} begins before ${turn ? turn.before.length : 'none'}`)
    notify({ type: 'step', text: label })
    await turn?.wait()
    turn?.onSent([IMAGE])
    await new Promise(setImmediate)
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
  const queue = createLoadQueue(TARGETS, context, isParallel, loadOne)
  const loadAll = async (): Promise<unknown[]> => {
    const results: unknown[] = []
    for (const target of TARGETS) {
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
  configDigest: 'sha256:0',
  repoTags: ['a:1'],
  platform: 'linux/amd64',
  manifestDigests: [],
  layers: [],
}

t.test('createLoadQueue: the next begins while one is taken, and speaks in its turn', async (t) => {
  const { done, loadAll } = queueOf(t)
  t.strictSame(await loadAll(), ['loaded', 'loaded', 'loaded'])
  t.strictSame(done, [
    'a begins before 0',
    'step a',
    'b begins before 1',
    'a ends',
    'step b',
    'c begins before 1',
    'b ends',
    'step c',
    'c ends',
  ])
})

t.test('createLoadQueue: one after the other, where that is wanted', async (t) => {
  const { done, loadAll } = queueOf(t, { isParallel: false })
  await loadAll()
  t.strictSame(
    done,
    ['a', 'b', 'c'].flatMap((each) => [`${each} begins before 0`, `step ${each}`, `${each} ends`]),
  )
})

t.test('createLoadQueue: after a failure the next begins anew', async (t) => {
  const { done, loadAll } = queueOf(t, { fails: { a: 'ENGINE_FAILED' } })
  t.strictSame(await loadAll(), ['ENGINE_FAILED', 'loaded', 'loaded'])
  t.strictSame(done.slice(0, 6), [
    'a begins before 0',
    'step a',
    'b begins before 1',
    'b begins before 0',
    'step b',
    'c begins before 1',
  ])
})

t.test('createLoadQueue: one that lacked room is tried again alone', async (t) => {
  const { done, loadAll } = queueOf(t, { fails: { a: 'NO_SPACE' } })
  t.strictSame(await loadAll(), ['loaded', 'loaded', 'loaded'])
  t.strictSame(done.slice(2, 6), [
    'b begins before 1',
    'warning a; it is loaded again, alone',
    'a begins before none',
    'step a',
  ])
})

t.test('createLoadQueue: one that lacks room alone has failed', async (t) => {
  const { loadAll } = queueOf(t, { fails: { c: 'NO_SPACE' } })
  t.strictSame(await loadAll(), ['loaded', 'loaded', 'NO_SPACE'])
})

t.test('createLoadQueue: at its end nothing is left', async (t) => {
  const { queue, done } = queueOf(t)
  const [first] = TARGETS
  if (first) await queue.load(first)
  await queue.end()
  t.equal(done.at(-1), 'a ends')
  await queue.end()
})
