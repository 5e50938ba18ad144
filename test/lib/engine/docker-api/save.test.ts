import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'

import { ToolError } from '../../../../lib/core/errors.ts'
import { requestSave, type SavedImage } from '../../../../lib/engine/docker-api/save.ts'
import type { Ending } from '../../../../lib/io/task.ts'
import { listen, listenRaw } from '../../../fixtures/daemon-socket.ts'

const MIB = 1024 * 1024
const IMAGE: SavedImage = { name: 'a:1' }

/** Asks for an image, and keeps what comes. */
function ask(socketPath: string, image = IMAGE): { saving: Ending; got: Buffer[] } {
  const got: Buffer[] = []
  return { got, saving: requestSave(socketPath, image, (bytes) => got.push(Buffer.from(bytes))) }
}

t.test('requestSave: the tar, in pieces, to HTTP/1.0', async (t) => {
  const tar = Buffer.alloc(3 * MIB + 1, 'tar')
  const asked: { method?: string; url?: string; httpVersion: string }[] = []
  const socketPath = await listen(t, ({ method = '', url = '', httpVersion }, answer) => {
    asked.push({ method, url, httpVersion })
    answer.end(tar)
  })
  for (const platform of [undefined, 'linux/arm64', 'linux/arm/v7']) {
    const { got, saving } = ask(socketPath, { name: 'host:5000/a/b@sha256:1', platform })
    await saving.exited
    t.ok(Buffer.concat(got).equals(tar))
    t.ok(got.length > 2, `${got.length} pieces`)
  }
  const query = (at: number): object => {
    const { pathname, searchParams } = new URL(asked[at]?.url ?? '', 'http://docker')
    return { pathname, ...Object.fromEntries(searchParams) }
  }
  const same = { pathname: '/images/get', names: 'host:5000/a/b@sha256:1' }
  t.strictSame(query(0), same)
  t.strictSame(query(1), { ...same, platform: '{"os":"linux","architecture":"arm64"}' })
  t.strictSame(query(2), {
    ...same,
    platform: '{"os":"linux","architecture":"arm","variant":"v7"}',
  })
  for (const each of asked) t.match(each, { method: 'GET', httpVersion: '1.0' })
})

t.test('requestSave: an answer whose head comes in two parts, with much behind it', async (t) => {
  const head = 'HTTP/1.0 200 OK\r\nA: \xe4\r\n'
  const tar = Buffer.alloc(200 * 1024, 'tar')
  const socketPath = await listen(t, async ({ socket }) => {
    socket.write(head, 'latin1')
    // Long enough for it to be read alone.
    await delay(50)
    socket.end(Buffer.concat([Buffer.from('\r\n'), tar]))
  })
  const { got, saving } = ask(socketPath)
  await saving.exited
  t.ok(Buffer.concat(got).equals(tar))
})

t.test('requestSave: an answer that comes byte by byte', async (t) => {
  const head = 'HTTP/1.0 200 OK\r\nA: b\r\n\r\n'
  const socketPath = await listen(t, async ({ socket }) => {
    for (const byte of Buffer.from(`${head}tar\r\n\r\n`)) {
      socket.write(Buffer.of(byte))
      await delay(2)
    }
    socket.end()
  })
  const { got, saving } = ask(socketPath)
  await saving.exited
  t.equal(Buffer.concat(got).toString(), 'tar\r\n\r\n')
})

const json = (message: string): string => JSON.stringify({ message })

// what the daemon says, and what is told of it
const FAILURES: [said: string, code: string, message: string][] = [
  [`HTTP/1.0 500 Oops\r\n\r\n${json('oh')}`, 'ENGINE_FAILED', 'save "a:1": oh'],
  [
    `HTTP/1.0 404 Not Found\r\nA: b\r\n\r\n${json('reference does not exist: no such image')}`,
    'NO_IMAGE',
    'save "a:1": reference does not exist: no such image',
  ],
  ['HTTP/1.0 502 Oops\r\n\r\nbad gateway', 'ENGINE_FAILED', 'save "a:1": bad gateway'],
  ['HTTP/1.0 503 Oops\r\n\r\n', 'ENGINE_FAILED', 'save "a:1": it answers with status 503'],
  ['HTTP/1.0 200 OK\r\n', 'ENGINE_FAILED', 'save "a:1": the daemon ended the connection'],
  ['', 'ENGINE_FAILED', 'save "a:1": the daemon ended the connection'],
  ['hello\n', 'ENGINE_FAILED', 'save "a:1": the answer of the daemon is not HTTP: hello'],
  [
    'x'.repeat(65 * 1024),
    'ENGINE_FAILED',
    'save "a:1": the answer of the daemon is not HTTP: it does not end',
  ],
]

for (const [said, code, message] of FAILURES) {
  t.test(`requestSave: a daemon that says ${JSON.stringify(said.slice(0, 80))}`, async (t) => {
    const { got, saving } = ask(await listenRaw(t, said))
    await t.rejects(saving.exited, { code, message })
    t.strictSame(got, [])
  })
}

t.test('requestSave: no daemon', async (t) => {
  const { saving } = ask(join(t.testdir(), 'none.sock'))
  await t.rejects(saving.exited, {
    code: 'ENGINE_DOWN',
    message: 'save "a:1": cannot connect to the docker daemon: its socket is gone',
  })
})

/** A daemon that sends bytes without end. @returns its socket, and when its connection has ended */
async function listenEndless(t: Test): Promise<{ socketPath: string; ended: Promise<unknown> }> {
  const ended = Promise.withResolvers<unknown>()
  const socketPath = await listen(t, (_, answer) => {
    const send = (): void => {
      while (answer.write(Buffer.alloc(MIB)));
      answer.once('drain', send)
    }
    answer.once('close', () => ended.resolve('ended'))
    send()
  })
  return { socketPath, ended: ended.promise }
}

// A bug is not told as a failure of the daemon.
for (const thrown of [new ToolError('BAD_TAR', 'no tar'), new RangeError('oh'), 'oh']) {
  t.test(`requestSave: who does not take the tar ends it: ${thrown}`, async (t) => {
    const { socketPath, ended } = await listenEndless(t)
    const saving = requestSave(socketPath, IMAGE, () => {
      throw thrown
    })
    t.equal(await saving.exited.catch((error: unknown) => error), thrown)
    t.equal(await ended, 'ended')
  })
}

t.test('requestSave: one that is killed before it is connected', async (t) => {
  const { saving } = ask(await listen(t, () => {}))
  saving.kill()
  await t.rejects(saving.exited, { code: 'INTERRUPTED' })
})

t.test('requestSave: one that is killed is interrupted, and the daemon hears of it', async (t) => {
  const { socketPath, ended } = await listenEndless(t)
  const begun = Promise.withResolvers<void>()
  const saving = requestSave(socketPath, IMAGE, () => begun.resolve())
  await begun.promise
  saving.kill()
  await t.rejects(saving.exited, { code: 'INTERRUPTED' })
  t.equal(await ended, 'ended')
  saving.kill()
})
