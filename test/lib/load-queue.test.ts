import t, { type Test } from 'tap'

import type { ArchivedImage } from '../../lib/image/docker-archive.ts'
import { ToolError, type ErrorCode } from '../../lib/core/errors.ts'
import { createLoadQueue, type LoadOne, type LoadQueue } from '../../lib/load-queue.ts'
import type { Notice } from '../../lib/core/outcome.ts'

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
  const queue = createLoadQueue(targets, context, mostAhead, loadOne)
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
  configDigest: 'sha256:0',
  repoTags: ['a:1'],
  platform: 'linux/amd64',
  manifestDigests: [],
  layers: [],
}

t.test('createLoadQueue: the next begin while one is taken, and speak in their turn', async (t) => {
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

t.test('createLoadQueue: no more than three begin ahead', async (t) => {
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

t.test('createLoadQueue: one after the other, where that is wanted', async (t) => {
  const { done, loadAll } = queueOf(t, { mostAhead: 0 })
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
    'c begins before 2',
    'b begins before 0',
    'step b',
  ])
})

t.test('createLoadQueue: one that lacked room is tried again alone', async (t) => {
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
