// Sends the tar of an image to a Docker daemon without its client. A decompressor can write
// directly to the daemon's socket, so the bytes pass through no other program.
import { once } from 'node:events'
import { request, type ClientRequest, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'

import { ToolError, interrupted } from '../../core/errors.ts'
import { engineError, unpackError } from '../error.ts'
import { createLineCutter, createListener, type EngineListener, type Loading } from '../said.ts'
import { answerTo, describeFailure, failureIn, refusal, textIn } from './daemon.ts'

/** A request to load a tar. It ends like a child process does. */
export interface LoadRequest extends Loading {
  /**
   * Resolves to the daemon's socket when the tar can be sent. The socket can be the stdout of a
   * child.
   */
  readonly socket: Promise<Socket>
}

/**
 * @param socketPath - where the daemon listens
 * @param what - the archive, for errors
 * @param tarBytes - the size of the tar; exactly this many bytes must follow
 * @see https://docs.docker.com/reference/api/engine/version/v1.41/#operation/ImageLoad
 */
export function requestLoad(socketPath: string, what: string, tarBytes: number): LoadRequest {
  const headers = { 'Content-Type': 'application/x-tar', 'Content-Length': tarBytes }
  const path = '/images/load?quiet=1'
  const call = request({ socketPath, method: 'POST', path, headers, agent: false })
  const action = `load "${what}"`
  let wasKilled = false
  const described = async <T>(work: Promise<T>): Promise<T> =>
    work.catch((error: unknown) => {
      if (wasKilled) throw interrupted()
      throw error instanceof ToolError ? error : engineError(action, describeFailure(error))
    })
  const listener = createListener()
  const outcome = readOutcome(call, action, listener)
  const [socket, exited] = [described(connected(call)), described(outcome)]
  // A caller may wait for only one of the two, so a failure of the other must not be unhandled.
  for (const each of [socket, exited]) each.catch(() => {})
  call.flushHeaders()
  return {
    stdin: call,
    stdout: Readable.from([]),
    socket,
    exited,
    said: listener.said,
    kill() {
      wasKilled = true
      call.destroy(interrupted())
    },
  }
}

async function connected(call: ClientRequest): Promise<Socket> {
  const socket = await new Promise<Socket>((resolve, reject) => {
    call.on('error', reject).once('socket', resolve)
  })
  if (socket.connecting) await once(socket, 'connect')
  // Another process may write to the socket, but only after the headers are written.
  while (socket.writableLength > 0) await nextTurn()
  if (socket.destroyed) throw new Error('the daemon ended the connection')
  return socket
}

async function readOutcome(
  call: ClientRequest,
  action: string,
  { hear, said }: EngineListener,
): Promise<void> {
  const response = await answerTo(call)
  if (response.statusCode !== 200) {
    throw refusal(response.statusCode, await readStart(response))
  }
  let failure: string | undefined
  const lines = createLineCutter((line, isWhole) => {
    failure ??= isWhole ? failureIn(line) : 'a line of its answer is too long'
    hear(`${textIn(line) ?? ''}\n`)
  })
  for await (const text of response.setEncoding('utf8')) lines.write(String(text))
  lines.end()
  if (failure !== undefined) throw new Error(failure)
  const unpacking = unpackError(action, said().failure ?? '')
  if (unpacking) throw unpacking
}

const MAX_REFUSAL_LENGTH = 64 * 1024

async function readStart(response: IncomingMessage): Promise<string> {
  let start = ''
  for await (const text of response.setEncoding('utf8')) {
    start += String(text).slice(0, MAX_REFUSAL_LENGTH - start.length)
  }
  return start
}
