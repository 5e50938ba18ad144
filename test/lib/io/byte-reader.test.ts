import { text } from 'node:stream/consumers'
import t from 'tap'

import { ToolError } from '../../../lib/core/errors.ts'
import { createByteReader } from '../../../lib/io/byte-reader.ts'

const TEXT = 'a few bytes'

async function* pieces(sizeBytes: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < TEXT.length; at += sizeBytes) {
    yield Buffer.from(TEXT.slice(at, at + sizeBytes))
  }
}

for (const sizeBytes of [1, 4, 5, 6, TEXT.length]) {
  t.test(`take: pieces of ${sizeBytes} bytes are cut where it is asked for`, async (t) => {
    const bytes = createByteReader(pieces(sizeBytes))
    t.equal(await text(bytes.readExactly(0)), '')
    t.equal(await text(bytes.readExactly(5)), 'a few')
    t.equal(await text(bytes.readExactly(1)), ' ')
    t.equal(await text(bytes.readExactly(5)), 'bytes')
    await bytes.end()
  })

  t.test(`take: fewer than is asked for, in pieces of ${sizeBytes} bytes`, async (t) => {
    const bytes = createByteReader(pieces(sizeBytes))
    await t.rejects(text(bytes.readExactly(TEXT.length + 1)), { code: 'TRUNCATED_TAR' })
  })

  t.test(`end: more than is taken, in pieces of ${sizeBytes} bytes`, async (t) => {
    for (const taken of [0, 1, TEXT.length - 1]) {
      const bytes = createByteReader(pieces(sizeBytes))
      await text(bytes.readExactly(taken))
      await t.rejects(bytes.end(), { code: 'MISMATCH', message: /got more bytes/ }, `${taken}`)
    }
  })
}

t.test('take, end: whoever asks says what it means', async (t) => {
  const toError = (what: string) => new ToolError('BAD_ARCHIVE', what)
  await t.rejects(text(createByteReader(pieces(1), toError).readExactly(99)), { message: 'fewer' })
  await t.rejects(createByteReader(pieces(1), toError).end(), { message: 'more' })
})
