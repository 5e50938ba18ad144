// An image's tar into a Docker daemon without its client: where the daemon's socket
// is on this machine a decompressor can write to that itself, and no byte has to
// pass through another program. No path here names a version of the API: each
// daemon then takes its own newest one.
import { once } from 'node:events'
import { request, type ClientRequest, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { json, text } from 'node:stream/consumers'
import { setImmediate as nextTurn } from 'node:timers/promises'
import * as v from 'valibot'

import type { Child } from './child.ts'
import { engineError } from './engine-error.ts'
import type { Engine } from './engine.ts'
import { interrupted, isSystemError } from './errors.ts'

/** A daemon that was asked to load a tar; it ends as a child does. */
export interface LoadRequest extends Child {
  /** The daemon's socket, once the tar is to come: to be another child's stdout. */
  readonly socket: Promise<Socket>
}

const PATIENCE_MS = 5000

const Info = v.object({ ID: v.string(), Name: v.string() })

/**
 * @returns where the daemon of an engine listens; undefined where that is not on
 *   this machine, not open to this user, or another daemon, as where `docker` is a
 *   script that asks one elsewhere
 */
export async function findSocket({ daemon, signal }: Engine): Promise<string | undefined> {
  if (!daemon) return undefined
  const { socketPath, id, name } = daemon
  const signals = [AbortSignal.timeout(PATIENCE_MS), ...(signal ? [signal] : [])]
  const to = { socketPath, path: '/info', agent: false, signal: AbortSignal.any(signals) }
  try {
    const info = v.parse(Info, await json(await answer(request(to).end())))
    return info.ID === id && info.Name === name ? socketPath : undefined
  } catch {
    return undefined
  }
}

/**
 * @param socketPath - where the daemon listens
 * @param what - the archive, for errors
 * @param tarBytes - size of the tar; for more than comes the daemon would wait
 * @see https://docs.docker.com/reference/api/engine/version/v1.41/#operation/ImageLoad
 */
export function requestLoad(socketPath: string, what: string, tarBytes: number): LoadRequest {
  const headers = { 'Content-Type': 'application/x-tar', 'Content-Length': tarBytes }
  const path = '/images/load?quiet=1'
  const call = request({ socketPath, method: 'POST', path, headers, agent: false })
  let wasKilled = false
  const explained = async <T>(work: Promise<T>): Promise<T> =>
    work.catch((error: unknown) => {
      if (wasKilled) throw interrupted()
      throw engineError(`load "${what}"`, describe(error))
    })
  const [socket, exited] = [explained(connected(call)), explained(readOutcome(call))]
  // Whoever waits for one of them may not wait for the other.
  for (const each of [socket, exited]) each.catch(() => {})
  call.flushHeaders()
  return {
    stdin: call,
    stdout: Readable.from([]),
    socket,
    exited,
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
  // What is written to it elsewhere must not come before the headers.
  while (socket.writableLength > 0) await nextTurn()
  if (socket.destroyed) throw new Error('the daemon ended the connection')
  return socket
}

async function readOutcome(call: ClientRequest): Promise<void> {
  const response = await answer(call)
  const said = await text(response)
  if (response.statusCode !== 200) throw new Error(failureIn(said) ?? said)
  for (const line of said.split('\n')) {
    const failure = failureIn(line)
    if (failure !== undefined) throw new Error(failure)
  }
}

function answer(call: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    // One that comes with the answer, or after it, is told by what is read of that.
    call.on('error', reject).once('response', resolve)
  })
}

const Message = v.fallback(v.optional(v.string()), undefined)
const Failure = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({
    /** Of an answer that is a failure. */
    message: Message,
    /** Of a failure within an answer; the second is the older way. */
    errorDetail: v.fallback(v.optional(v.object({ message: Message })), undefined),
    error: Message,
  }),
)

function failureIn(said: string): string | undefined {
  const parsed = v.safeParse(Failure, said)
  if (!parsed.success) return undefined
  const { message, errorDetail, error } = parsed.output
  return message ?? errorDetail?.message ?? error
}

function describe(error: unknown): string {
  if (isSystemError(error) && error.syscall === 'connect') {
    const why = error.code === 'ENOENT' ? 'its socket is gone' : error.code
    return `cannot connect to the docker daemon: ${why}`
  }
  if (!(error instanceof Error)) return String(error)
  if (!('code' in error)) return error.message
  const isGarbled = String(error.code).startsWith('HPE_')
  return isGarbled
    ? `the answer of the daemon is no HTTP: ${error.message}`
    : 'the daemon ended the connection'
}
