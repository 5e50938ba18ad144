// An image's tar into a Docker daemon without its client: where the daemon's socket
// is on this machine a decompressor can write to that itself, and no byte has to
// pass through another program.
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

const Info = v.object({ ID: v.string() })
const Failure = v.pipe(v.string(), v.parseJson(), v.object({ message: v.string() }))
const Line = v.pipe(v.string(), v.parseJson(), v.object({ error: v.optional(v.string()) }))

/**
 * @returns where the daemon of an engine listens; undefined where that is not on
 *   this machine, not open to this user, or another daemon, as where `docker` is a
 *   script that asks one elsewhere
 */
export async function findSocket({ daemon, signal }: Engine): Promise<string | undefined> {
  if (!daemon) return undefined
  const { socketPath, id } = daemon
  try {
    const call = request({ socketPath, path: '/info', agent: false, ...(signal && { signal }) })
    const response = await answer(call.end())
    return v.parse(Info, await json(response)).ID === id ? socketPath : undefined
  } catch {
    return undefined
  }
}

/**
 * @param socketPath - where the daemon listens
 * @param what - the archive, for errors
 * @param tarBytes - size of the tar
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
      call.destroy()
    },
  }
}

async function connected(call: ClientRequest): Promise<Socket> {
  const [socket]: Socket[] = await once(call, 'socket')
  if (!socket) throw new Error('it has no socket')
  if (socket.connecting) await once(socket, 'connect')
  // What is written to it elsewhere must not come before the headers.
  while (socket.writableLength > 0) await nextTurn()
  return socket
}

async function readOutcome(call: ClientRequest): Promise<void> {
  const response = await answer(call)
  const said = await text(response)
  if (response.statusCode !== 200) {
    const failure = v.safeParse(Failure, said)
    throw new Error(failure.success ? failure.output.message : said)
  }
  for (const line of said.split('\n')) {
    const parsed = v.safeParse(Line, line)
    if (parsed.success && parsed.output.error !== undefined) throw new Error(parsed.output.error)
  }
}

async function answer(call: ClientRequest): Promise<IncomingMessage> {
  const [response]: IncomingMessage[] = await once(call, 'response')
  // A connection that ends later is told by what is read.
  call.on('error', () => {})
  if (!response) throw new Error('it has no answer')
  return response
}

function describe(error: unknown): string {
  if (isSystemError(error) && error.syscall === 'connect') {
    return 'cannot connect to the docker daemon: its socket is gone'
  }
  if (!(error instanceof Error)) return String(error)
  return 'code' in error ? `the daemon ended the connection: ${error.message}` : error.message
}
