import { join, relative } from 'node:path'
import { buffer } from 'node:stream/consumers'
import t from 'tap'

import { ToolError } from '../../../../lib/core/errors.ts'
import { requestLoad, type LoadRequest } from '../../../../lib/engine/docker-api/load.ts'
import { startChild } from '../../../../lib/io/child.ts'
import { listen, listenRaw } from '../../../fixtures/daemon-socket.ts'

const MIB = 1024 * 1024

/** Has a child write so many bytes to the daemon, as a decompressor does. */
async function send({ socket }: LoadRequest, sizeBytes: number): Promise<void> {
  const stdout = await socket
  const child = startChild('head', ['-c', `${sizeBytes}`, '/dev/zero'], {
    stdout,
    toError: (said) => new ToolError('COMPRESSOR_FAILED', said),
  })
  stdout.resume()
  await child.exited
}

t.test('requestLoad: the daemon gets what a child writes, and its size', async (t) => {
  const got: { url?: string | undefined; size?: string | undefined; body: Buffer }[] = []
  const socketPath = await listen(t, async (asked, answer) => {
    const { url, headers } = asked
    got.push({ url, size: headers['content-length'], body: await buffer(asked) })
    answer.end('{"stream":"Loaded image: a:1\\n"}\n')
  })
  for (const sizeBytes of [1, 3 * MIB + 1]) {
    const load = requestLoad(socketPath, 'a:1', sizeBytes)
    await send(load, sizeBytes)
    load.stdin.end()
    await load.exited
    const last = got.at(-1)
    t.match(last, { url: '/images/load?quiet=1', size: `${sizeBytes}` })
    t.ok(last?.body.equals(Buffer.alloc(sizeBytes)))
    t.match(load.said(), { loaded: ['a:1'], isCut: false })
  }
})

const json = (value: object): string => JSON.stringify(value)

type Said = [what: string, status: number, said: string, want: { code: string; message?: string }]

function failureInTheEnd(failure: object): Said {
  const said = `${json({ stream: 'x' })}\n${json(failure)}\n`
  return [json(failure), 200, said, { code: 'ENGINE_FAILED', message: 'load "a:1": oh' }]
}

// what the daemon says when it has all, with which status, and what is told of it
const ANSWERS: Said[] = [
  ['a failure', 500, json({ message: 'oh' }), { code: 'ENGINE_FAILED', message: 'load "a:1": oh' }],
  [
    'that its disk is full',
    500,
    json({ message: 'write /x: no space left on device' }),
    { code: 'NO_SPACE' },
  ],
  [
    'nothing',
    503,
    '',
    { code: 'ENGINE_FAILED', message: 'load "a:1": it answers with status 503' },
  ],
  ['no JSON', 502, 'bad gateway', { code: 'ENGINE_FAILED', message: 'load "a:1": bad gateway' }],
  ...[{ errorDetail: { message: 'oh' }, error: 'oh' }, { error: 'oh' }].map(failureInTheEnd),
  failureInTheEnd({ errorDetail: { message: 'oh' } }),
  failureInTheEnd({ errorDetail: 1, error: 'oh' }),
  [
    'an image that it keeps and could not lay out',
    200,
    `${json({ stream: 'Loaded image: a:1\n' })}\n${json({ stream: 'Error unpacking image a:1: oh\n' })}\n`,
    { code: 'ENGINE_FAILED', message: 'load "a:1": Error unpacking image a:1: oh' },
  ],
]

ANSWERS.push([
  'a failure in a line without end',
  200,
  `{"error":"${'x'.repeat(MIB)}"}\n`,
  { code: 'ENGINE_FAILED', message: 'load "a:1": a line of its answer is too long' },
])

for (const [what, status, said, want] of ANSWERS) {
  t.test(`requestLoad: a daemon that tells of ${what}`, async (t) => {
    const socketPath = await listen(t, async (asked, answer) => {
      await buffer(asked)
      answer.writeHead(status).end(said)
    })
    const load = requestLoad(socketPath, 'a:1', MIB)
    await send(load, MIB)
    await t.rejects(load.exited, want)
  })
}

t.test('requestLoad: a daemon that answers before it has all', async (t) => {
  const socketPath = await listen(t, (_, answer) => {
    answer.writeHead(500, { Connection: 'close' }).end(json({ message: 'oh' }))
  })
  const load = requestLoad(socketPath, 'a:1', 9 * MIB)
  await Promise.all([
    t.rejects(send(load, 9 * MIB), { code: 'COMPRESSOR_FAILED' }),
    t.rejects(load.exited, { message: 'load "a:1": oh' }),
  ])
})

t.test('requestLoad: a daemon that ends the connection', async (t) => {
  const socketPath = await listen(t, (asked) => asked.once('data', () => asked.socket.destroy()))
  const load = requestLoad(socketPath, 'a:1', 9 * MIB)
  await Promise.all([
    t.rejects(send(load, 9 * MIB), { code: 'COMPRESSOR_FAILED' }),
    t.rejects(load.exited, {
      code: 'ENGINE_FAILED',
      message: /: the daemon ended the connection$/,
    }),
  ])
})

t.test('requestLoad: a daemon that ends the connection within its answer', async (t) => {
  const socketPath = await listen(t, async (asked, answer) => {
    await buffer(asked)
    answer.write('{"stream"')
    answer.destroy()
  })
  const load = requestLoad(socketPath, 'a:1', MIB)
  await send(load, MIB)
  await t.rejects(load.exited, { message: /: the daemon ended the connection$/ })
})

t.test('requestLoad: no daemon', async (t) => {
  const none = join(t.testdir({ file: '' }), 'none.sock')
  for (const [path, why] of [
    [none, 'its socket is gone'],
    [relative('.', join(none, '..', 'file')), 'ECONNREFUSED'],
  ] as const) {
    const load = requestLoad(path, 'a:1', MIB)
    const want = {
      code: 'ENGINE_DOWN',
      message: `load "a:1": cannot connect to the docker daemon: ${why}`,
    }
    await t.rejects(load.socket, want)
    await t.rejects(load.exited, want)
  }
})

t.test('requestLoad: one that is killed before it is connected', async (t) => {
  const load = requestLoad(await listen(t, () => {}), 'a:1', MIB)
  load.kill()
  await t.rejects(load.socket, { code: 'INTERRUPTED' })
  await t.rejects(load.exited, { code: 'INTERRUPTED' })
})

t.test('requestLoad: what is no daemon', async (t) => {
  const garbage = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n`
  const socketPath = await listenRaw(t, garbage)
  const load = requestLoad(socketPath, 'a:1', MIB)
  await t.rejects(load.exited, { code: 'ENGINE_FAILED' })
  const other = requestLoad(await listenRaw(t, 'hello\n'), 'a:1', MIB)
  await t.rejects(other.exited, { message: /^load "a:1": the answer of the daemon is not HTTP: / })
})

t.test('requestLoad: one that is killed is interrupted, and the daemon hears of it', async (t) => {
  const ended = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  const socketPath = await listen(t, (asked) => {
    asked.once('data', () => begun.resolve())
    asked.on('error', () => ended.resolve())
  })
  const load = requestLoad(socketPath, 'a:1', 2 * MIB)
  await send(load, MIB)
  await begun.promise
  load.kill()
  await t.rejects(load.exited, { code: 'INTERRUPTED' })
  await ended.promise
  t.pass('it did')
})
