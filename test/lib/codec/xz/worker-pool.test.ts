import { Worker } from 'node:worker_threads'
import t from 'tap'

import { createCondition } from '../../../../lib/codec/xz/condition.ts'
import type { BlockFault } from '../../../../lib/codec/xz/error.ts'
import { XzWorkers } from '../../../../lib/codec/xz/worker-pool.ts'

t.test('takeOldest: nothing where no block was begun', async (t) => {
  const workers = new XzWorkers(1, createCondition())
  t.equal(workers.open, 0)
  for await (const bytes of workers.takeOldest()) t.fail(`got ${bytes.length} bytes`)
  await workers.end()
})

t.test('write: what still comes for a block that failed is for nobody', async (t) => {
  const turns = createCondition()
  const workers = new XzWorkers(1, turns)
  t.teardown(() => workers.end())
  const toError = (fault: BlockFault) => new Error(`fault ${fault}`)
  const block = await workers.begin({ sizeBytes: 10, isHuge: false, toError })
  await block.write(Buffer.from(new ArrayBuffer(1000)), false)
  await t.rejects(workers.takeOldest().next(), { message: /^fault \d+$/ })
  const more = Buffer.from(new ArrayBuffer(1000))
  await block.write(more, true)
  t.equal(more.length, 1000, 'it was not given away')
})

// Another thread in place of the one that decodes.
function withoutText(start: () => Worker): () => Worker {
  return function Thread() {
    return start()
  }
}

const THREADS: [string, () => Worker, string][] = [
  [
    'runs out of memory',
    () =>
      new Worker('const all = []; for (;;) all.push(new Array(1e5).fill(all))', {
        eval: true,
        resourceLimits: { maxOldGenerationSizeMb: 8 },
      }),
    'decompress: Worker terminated due to reaching memory limit: JS heap out of memory',
  ],
  [
    'gets none for its bytes',
    () => new Worker('throw new RangeError("Array buffer allocation failed")', { eval: true }),
    'decompress: Array buffer allocation failed',
  ],
]

for (const [what, start, message] of THREADS) {
  t.test(`takeOldest: a thread that ${what} is no bug`, async (t) => {
    const mocked = await t.mockImport<typeof import('../../../../lib/codec/xz/worker-pool.ts')>(
      '../../../../lib/codec/xz/worker-pool.ts',
      { 'node:worker_threads': { Worker: withoutText(start) } },
    )
    const workers = new mocked.XzWorkers(1, createCondition())
    await workers.begin({ sizeBytes: 10, isHuge: false, toError: () => new Error('fault') })
    const error: unknown = await workers
      .takeOldest()
      .next()
      .catch((thrown: unknown) => thrown)
    t.match(error, { code: 'NO_MEMORY', message, hint: /--threads/ })
    await workers.end()
  })
}
