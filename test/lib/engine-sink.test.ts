import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { startChild, withChildren, type Child } from '../../lib/child.ts'
import { sendTar } from '../../lib/engine-sink.ts'
import { ToolError } from '../../lib/core/errors.ts'

const MIB = 1024 * 1024
const NEVER = new AbortController().signal

function start(script: string, ...args: string[]): Child {
  const child = startChild('sh', ['-c', script, 'sh', ...args], {
    explain: (stderr) => new ToolError('ENGINE_FAILED', stderr),
  })
  child.stdout.resume()
  return child
}

async function* chunks(sizeBytes: number, error?: Error): AsyncGenerator<Buffer> {
  const chunk = Buffer.alloc(10_000, 'x')
  for (let left = sizeBytes; left > 0; left -= chunk.length) yield chunk.subarray(0, left)
  if (error) throw error
}

for (const size of [0, 1, MIB, MIB + 1, 3 * MIB]) {
  t.test(`sendTar: ${size} bytes that are proven`, async (t) => {
    const path = join(t.testdir({}), 'got')
    const engine = start('exec tee "$1"', path)
    await withChildren(
      [engine],
      NEVER,
      sendTar(chunks(size), engine, async () => {}),
    )
    t.equal((await readFile(path)).length, size)
  })
}

// It reads nothing, and its pipe takes some 200 kB: some waits to be written at the end.
for (const size of [0, MIB, ...Array.from({ length: 12 }, (_, n) => MIB + 60_000 + n * 10_000)]) {
  const wrong = new ToolError('MISMATCH', 'it was changed')
  const proofs: [string, Error | undefined, () => Promise<void>][] = [
    ['is not proven', undefined, () => Promise.reject(wrong)],
    ['breaks off', wrong, async () => {}],
  ]
  for (const [what, error, prove] of proofs) {
    t.test(
      `sendTar: ${size} bytes of what ${what}: that is told, and the engine ended`,
      async (t) => {
        const engine = start('exec sleep 60')
        const work = sendTar(chunks(size, error), engine, prove)
        await t.rejects(withChildren([engine], NEVER, work), wrong)
        await t.rejects(engine.exited, { code: 'INTERRUPTED' })
      },
    )
  }
}

t.test('sendTar: an engine that ends too early is told', async (t) => {
  const engine = start('echo full >&2; exit 1')
  const work = sendTar(chunks(3 * MIB), engine, async () => {})
  await t.rejects(withChildren([engine], NEVER, work), { code: 'ENGINE_FAILED', message: 'full' })
})
