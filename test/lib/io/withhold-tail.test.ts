import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { ToolError } from '../../../lib/core/errors.ts'
import { startChild, withChildren } from '../../../lib/io/child.ts'
import type { Task } from '../../../lib/io/task.ts'
import { sendTar, withholdTail } from '../../../lib/io/withhold-tail.ts'
import { pseudoRandom } from '../../fixtures/sample-layers.ts'
import { chunked } from '../../fixtures/tar-builder.ts'

const HELD = 1024 * 1024
const INPUT = pseudoRandom('input', 3 * HELD)

interface Held {
  readonly bytes: Buffer
  /** What had been given when it was to be verified. */
  readonly before: number
}

async function hold(sizeBytes: number, chunkBytes: number, error?: Error): Promise<Held> {
  const input = INPUT.subarray(0, sizeBytes)
  let before = -1
  let given = 0
  const parts: Buffer[] = []
  async function* chunks(): AsyncGenerator<Buffer> {
    yield* chunked(input, chunkBytes)
  }
  const verify = async (): Promise<void> => {
    before = given
    if (error) throw error
  }
  try {
    for await (const part of withholdTail(chunks(), verify)) {
      parts.push(part)
      given += part.length
    }
  } catch (thrown) {
    if (thrown !== error) throw thrown
  }
  return { bytes: Buffer.concat(parts), before }
}

const SIZES = [0, 1, HELD - 1, HELD, HELD + 1, 3 * HELD]

for (const size of SIZES) {
  for (const chunkBytes of [1000, 65_536, HELD - 1, HELD, HELD + 1, 4 * HELD]) {
    t.test(`holdBack: ${size} bytes in chunks of ${chunkBytes}`, async (t) => {
      const { bytes, before } = await hold(size, chunkBytes)
      t.equal(bytes.length, size)
      t.ok(bytes.equals(INPUT.subarray(0, size)), 'the same bytes in their order')
      t.ok(size - before >= Math.min(size, HELD), 'the last MiB comes after the proof')
      t.ok(size - before < HELD + chunkBytes, 'and little more than that is held')
    })
  }
}

t.test('holdBack: one byte at a time', async (t) => {
  const { bytes, before } = await hold(1000, 1)
  t.strictSame([bytes.length, before], [1000, 0])
})

t.test('holdBack: what is not verified is never given', async (t) => {
  for (const size of SIZES) {
    const { bytes, before } = await hold(size, 65_536, new Error('no'))
    t.equal(bytes.length, before)
    t.ok(bytes.length <= Math.max(0, size - HELD))
  }
})

t.test('holdBack: chunks of no bytes are no harm', async (t) => {
  async function* chunks(): AsyncGenerator<Buffer> {
    yield* [Buffer.alloc(0), Buffer.from('a'), Buffer.alloc(0)]
  }
  const parts: Buffer[] = []
  for await (const part of withholdTail(chunks(), async () => {})) parts.push(part)
  t.equal(Buffer.concat(parts).toString(), 'a')
})

const MIB = 1024 * 1024
const NEVER = new AbortController().signal

function start(script: string, ...args: string[]): Task {
  const child = startChild('sh', ['-c', script, 'sh', ...args], {
    toError: (stderr) => new ToolError('ENGINE_FAILED', stderr),
  })
  child.stdout.resume()
  return child
}

async function* tarChunks(sizeBytes: number, error?: Error): AsyncGenerator<Buffer> {
  const chunk = Buffer.alloc(10_000, 'x')
  for (let left = sizeBytes; left > 0; left -= chunk.length) yield chunk.subarray(0, left)
  if (error) throw error
}

for (const size of [0, 1, MIB, MIB + 1, 3 * MIB]) {
  t.test(`sendTar: ${size} bytes that are verified`, async (t) => {
    const path = join(t.testdir({}), 'got')
    const engine = start('exec tee "$1"', path)
    await withChildren(
      [engine],
      NEVER,
      sendTar(tarChunks(size), engine, async () => {}),
    )
    t.equal((await readFile(path)).length, size)
  })
}

// It reads nothing, and its pipe takes some 200 kB: some waits to be written at the end.
for (const size of [0, MIB, ...Array.from({ length: 12 }, (_, n) => MIB + 60_000 + n * 10_000)]) {
  const wrong = new ToolError('MISMATCH', 'it was changed')
  const proofs: [string, Error | undefined, () => Promise<void>][] = [
    ['is not verified', undefined, () => Promise.reject(wrong)],
    ['breaks off', wrong, async () => {}],
  ]
  for (const [what, error, verify] of proofs) {
    t.test(
      `sendTar: ${size} bytes of what ${what}: that is told, and the engine ended`,
      async (t) => {
        const engine = start('exec sleep 60')
        const work = sendTar(tarChunks(size, error), engine, verify)
        await t.rejects(withChildren([engine], NEVER, work), wrong)
        await t.rejects(engine.exited, { code: 'INTERRUPTED' })
      },
    )
  }
}

t.test('sendTar: an engine that ends too early is told', async (t) => {
  const engine = start('echo full >&2; exit 1')
  const work = sendTar(tarChunks(3 * MIB), engine, async () => {})
  await t.rejects(withChildren([engine], NEVER, work), { code: 'ENGINE_FAILED', message: 'full' })
})
