import { fileURLToPath } from 'node:url'
import t from 'tap'

import { sh } from '../fixtures/run.ts'

const MODULE = fileURLToPath(new URL('../../lib/thread-pool.ts', import.meta.url))

/** Threads of a process that has used its pool, less those that it had before. */
async function poolSize(call: string, value?: string): Promise<number> {
  const script = `
    import { readdirSync } from 'node:fs'
    import { stat } from 'node:fs/promises'
    import { sizeThreadPool } from '${MODULE}'
    const threads = () => readdirSync('/proc/self/task').length
    ${call}
    const before = threads()
    await stat('/')
    console.log(threads() - before)`
  const env = { UV_THREADPOOL_SIZE: value, NODE_OPTIONS: undefined }
  return Number(await sh(`${process.execPath} --input-type=module`, { input: script, env }))
}

// what is called, UV_THREADPOOL_SIZE before, the size of the pool
const CASES: [string, string | undefined, number][] = [
  ['', undefined, 4],
  ['sizeThreadPool(1)', undefined, 5],
  ['sizeThreadPool(12)', undefined, 16],
  ['sizeThreadPool(5000)', undefined, 1024],
  ['sizeThreadPool(12)', '3', 3],
]

for (const [call, value, want] of CASES) {
  t.test(`sizeThreadPool: ${call || 'not called'}, chosen: ${value}`, async (t) => {
    t.equal(await poolSize(call, value), want)
  })
}
