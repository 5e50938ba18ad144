// A Docker daemon whose socket is on this machine: whether it is the one that the
// client asks, and what it says of its failures. Image bytes go to it and come from
// it without the client. No path here names a version of the API: each daemon then
// takes its own newest one.
import { request, type ClientRequest, type IncomingMessage } from 'node:http'
import { json } from 'node:stream/consumers'
import * as v from 'valibot'

import type { Engine } from '../engine.ts'
import { isSystemError } from '../../core/errors.ts'

const KILL_TIMEOUT_MS = 5000

const Info = v.object({ ID: v.string(), Name: v.string() })

/**
 * @returns where the daemon of an engine listens; undefined if that is not on
 *   this machine, not open to this user, or another daemon, as where `docker` is a
 *   script that asks one elsewhere
 */
export async function findSocket({ daemon, signal }: Engine): Promise<string | undefined> {
  if (!daemon) return undefined
  const { socketPath, id, name } = daemon
  const signals = [AbortSignal.timeout(KILL_TIMEOUT_MS), ...(signal ? [signal] : [])]
  const to = { socketPath, path: '/info', agent: false, signal: AbortSignal.any(signals) }
  try {
    const info = v.parse(Info, await json(await answerTo(request(to).end())))
    return info.ID === id && info.Name === name ? socketPath : undefined
  } catch {
    return undefined
  }
}

/** @returns the answer, once it begins. */
export function answerTo(call: ClientRequest): Promise<IncomingMessage> {
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

const Stream = v.pipe(v.string(), v.parseJson(), v.object({ stream: v.string() }))

/** @returns what a line of an answer has for people to read; undefined if it has nothing. */
export function textIn(said: string): string | undefined {
  const parsed = v.safeParse(Stream, said)
  return parsed.success ? parsed.output.stream : undefined
}

/** @returns the failure of which an answer tells, or a line of it; undefined if it tells of none. */
export function failureIn(said: string): string | undefined {
  const parsed = v.safeParse(Failure, said)
  if (!parsed.success) return undefined
  const { message, errorDetail, error } = parsed.output
  return message ?? errorDetail?.message ?? error
}

/** @returns the failure of an answer whose status tells of one. */
export function refusal(status: string | number | undefined, said: string): Error {
  return new Error(failureIn(said) || said.trim() || `it answers with status ${status}`)
}

/** @returns what went wrong with a connection, in the words of the client where that has some. */
export function describeFailure(error: unknown): string {
  if (isSystemError(error) && error.syscall === 'connect') {
    const why = error.code === 'ENOENT' ? 'its socket is gone' : error.code
    return `cannot connect to the docker daemon: ${why}`
  }
  if (!(error instanceof Error)) return String(error)
  if (!('code' in error)) return error.message
  const isGarbled = String(error.code).startsWith('HPE_')
  return isGarbled ? notHttp(error.message) : 'the daemon ended the connection'
}

/** @returns the failure of an answer that is none. */
export function notHttp(why: string): string {
  return `the answer of the daemon is not HTTP: ${why}`
}
