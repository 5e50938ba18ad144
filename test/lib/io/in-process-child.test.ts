import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import t from 'tap'

import { ToolError } from '../../../lib/core/errors.ts'
import { withChildren } from '../../../lib/io/child.ts'
import { startTransform } from '../../../lib/io/in-process-child.ts'

const NEVER = new AbortController().signal

async function* upperCase(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) yield Buffer.from(chunk.toString().toUpperCase())
}

async function* fail(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    yield chunk
    throw new ToolError('BAD_ARCHIVE', 'it is bad')
  }
}

async function* endless(): AsyncGenerator<Buffer> {
  for (;;) yield Buffer.alloc(65536)
}

t.test('startTransform: bytes go in and come out', async (t) => {
  const child = startTransform(upperCase)
  const writing = pipeline(['ab', 'c'], child.stdin)
  t.equal(await text(child.stdout), 'ABC')
  await Promise.all([writing, child.exited])
})

t.test('startTransform: they go to another output, which stays open', async (t) => {
  const output = new PassThrough()
  const child = startTransform(upperCase, output)
  child.stdin.end('abc')
  await child.exited
  output.end('d')
  t.equal(await text(output), 'ABCd')
})

t.test('startTransform: what it throws is how the child fails', async (t) => {
  const child = startTransform(fail)
  const work = Promise.all([pipeline(endless, child.stdin), text(child.stdout)])
  await t.rejects(withChildren([child], NEVER, work), { code: 'BAD_ARCHIVE', message: 'it is bad' })
})

t.test('startTransform: an output that breaks ends it', async (t) => {
  const output = new PassThrough()
  const child = startTransform(upperCase, output)
  const writing = pipeline(endless, child.stdin).catch(() => {})
  output.destroy(new Error('broken'))
  await t.rejects(child.exited, Error)
  await writing
})

t.test('startTransform: it is ended half way', async (t) => {
  let isTidy = false
  async function* tidy(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    try {
      yield* chunks
    } finally {
      isTidy = true
    }
  }
  const stop = new AbortController()
  const child = startTransform(tidy)
  child.stdout.once('data', () => stop.abort())
  const work = pipeline(endless, child.stdin)
  await t.rejects(withChildren([child], stop.signal, work), { code: 'INTERRUPTED' })
  t.ok(isTidy)
  child.kill()
  await t.rejects(child.exited, { code: 'INTERRUPTED' })
})
