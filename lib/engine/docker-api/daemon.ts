// Talks to a Docker daemon whose socket is on this machine, without the client. It checks that
// this is the client's daemon, and reads its errors. Paths have no API version, so each daemon
// uses its newest one.
import { request, type ClientRequest, type IncomingMessage } from 'node:http'
import { json } from 'node:stream/consumers'
import * as v from 'valibot'

import { isSystemError } from '../../core/errors.ts'
import type { Engine } from '../engine.ts'

const ANSWER_TIMEOUT_MS = 5000

const Info = v.object({ ID: v.string(), Name: v.string() })

/**
 * @returns the path of the socket of an engine's daemon. It is undefined if the daemon is not
 *   on this machine, if this user may not open the socket, or if another daemon listens there,
 *   for example because `docker` is a script that uses a remote one.
 */
export async function findSocket({ daemon, signal }: Engine): Promise<string | undefined> {
  if (!daemon) return undefined
  const { socketPath, id, name } = daemon
  const signals = [AbortSignal.timeout(ANSWER_TIMEOUT_MS), ...(signal ? [signal] : [])]
  const to = { socketPath, path: '/info', agent: false, signal: AbortSignal.any(signals) }
  try {
    const info = v.parse(Info, await json(await answerTo(request(to).end())))
    return info.ID === id && info.Name === name ? socketPath : undefined
  } catch {
    return undefined
  }
}

/** @returns the response, once its head has come */
export function answerTo(call: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    // An error that comes with the response or later has no effect here: it shows when the
    // response is read.
    call.on('error', reject).once('response', resolve)
  })
}

const Message = v.fallback(v.optional(v.string()), undefined)
const Failure = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({
    /** In a response with an error status. */
    message: Message,
    /** In a line of a response that began with success; `error` is the older form. */
    errorDetail: v.fallback(v.optional(v.object({ message: Message })), undefined),
    error: Message,
  }),
)

const Stream = v.pipe(v.string(), v.parseJson(), v.object({ stream: v.string() }))

/** @returns the text for people in a line of a response, or undefined if there is none */
export function textIn(said: string): string | undefined {
  const parsed = v.safeParse(Stream, said)
  return parsed.success ? parsed.output.stream : undefined
}

/** @returns the error in a response or in a line of it, or undefined if there is none */
export function failureIn(said: string): string | undefined {
  const parsed = v.safeParse(Failure, said)
  if (!parsed.success) return undefined
  const { message, errorDetail, error } = parsed.output
  return message ?? errorDetail?.message ?? error
}

/** @returns the error for a response with an error status */
export function refusal(status: string | number | undefined, said: string): Error {
  return new Error(failureIn(said) || said.trim() || `it answers with status ${status}`)
}

/** @returns the description of a failed connection, in the client's words if it has some */
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

/** @returns the description of a response that is not valid HTTP */
export function notHttp(why: string): string {
  return `the answer of the daemon is not HTTP: ${why}`
}
