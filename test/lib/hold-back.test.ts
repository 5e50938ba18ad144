import t from 'tap'

import { holdBack } from '../../lib/hold-back.ts'
import { pseudoRandom } from '../fixtures/sample-layers.ts'
import { chunked } from '../fixtures/tar-builder.ts'

const HELD = 1024 * 1024
const INPUT = pseudoRandom('input', 3 * HELD)

interface Held {
  readonly bytes: Buffer
  /** What had been given when it was to be proven. */
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
  const prove = async (): Promise<void> => {
    before = given
    if (error) throw error
  }
  try {
    for await (const part of holdBack(chunks(), prove)) {
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

t.test('holdBack: what is not proven is never given', async (t) => {
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
  for await (const part of holdBack(chunks(), async () => {})) parts.push(part)
  t.equal(Buffer.concat(parts).toString(), 'a')
})
