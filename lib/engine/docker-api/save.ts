// Reads the tar of an image from a Docker daemon without its client, so the bytes pass through
// no other program. They are all read into the same buffer; Node's streams would allocate a new
// one for each piece.
import { connect, type Socket } from 'node:net'
import { finished } from 'node:stream/promises'

import { interrupted } from '../../core/errors.ts'
import type { Ending } from '../../io/task.ts'
import { engineError } from '../error.ts'
import { describeFailure, notHttp, refusal } from './daemon.ts'

/** The image to save. */
export interface SavedImage {
  readonly name: string
  /** `os/architecture[/variant]`; undefined if the daemon cannot choose by it. */
  readonly platform?: string | undefined
}

/** Is called with the next bytes. They are overwritten after the call. */
export type Take = (bytes: Buffer) => void

const READ_BYTES = 64 * 1024

/**
 * The tar ends when the connection ends. The caller has to check by the tar itself whether it
 * is complete.
 *
 * @param socketPath - where the daemon listens
 * @param take - is called with the bytes of the tar; an error that it throws ends the request
 * @returns the running request, which ends like a child process does
 * @see https://docs.docker.com/reference/api/engine/version/v1.41/#operation/ImageGet
 */
export function requestSave(socketPath: string, image: SavedImage, take: Take): Ending {
  const toError = (error: unknown): Error =>
    engineError(`save "${image.name}"`, describeFailure(error))
  const answer = createAnswer(take, toError)
  // In HTTP/1.0 the body comes as it is, not in chunks that have to be unwrapped.
  const head = `GET ${pathOf(image)} HTTP/1.0\r\nHost: docker\r\nConnection: close\r\n\r\n`
  const { socket, ended } = readSocket(socketPath, head, answer.write, toError)
  let wasKilled = false
  const exited = ended.then(answer.end).catch((error: unknown) => {
    throw wasKilled ? interrupted() : error
  })
  exited.catch(() => {})
  return {
    exited,
    kill() {
      wasKilled = true
      socket.destroy()
    },
  }
}

// An error that `take` throws is passed on unchanged, because it may be a bug.
function readSocket(
  path: string,
  request: string,
  take: Take,
  toError: (error: unknown) => Error,
): { socket: Socket; ended: Promise<void> } {
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES)
  let thrown: { readonly error: unknown } | undefined
  const callback = (sizeBytes: number): boolean => {
    try {
      take(buffer.subarray(0, sizeBytes))
    } catch (error) {
      thrown = { error }
      socket.destroy()
    }
    return true
  }
  const socket = connect({ path, onread: { buffer, callback } })
  socket.write(request)
  const ended = finished(socket).catch((error: unknown) => {
    throw thrown ? thrown.error : toError(error)
  })
  return { socket, ended }
}

function pathOf({ name, platform }: SavedImage): string {
  const query = new URLSearchParams({ names: name })
  if (platform !== undefined) {
    const [os, architecture, variant] = platform.split('/')
    query.set('platform', JSON.stringify({ os, architecture, variant }))
  }
  return `/images/get?${query.toString()}`
}

const HEAD = /^HTTP\/1\.\d (?<status>\d{3}).*?\r\n\r\n/s
const HEAD_END = '\r\n\r\n'
const MAX_SAID_BYTES = 64 * 1024

// Splits a response: after a head with status 200 comes the tar, otherwise the error.
function createAnswer(
  take: Take,
  toError: (error: unknown) => Error,
): { write: Take; end: () => void } {
  let said = Buffer.alloc(0)
  let isTar = false
  let hasHead = false
  const readHead = (): RegExpExecArray | null => HEAD.exec(said.toString('latin1'))
  return {
    write(bytes) {
      if (isTar) return take(bytes)
      // Only the new bytes are searched for the end of the head, not all of them each time.
      const from = Math.max(0, said.length - HEAD_END.length)
      said = Buffer.concat([said, bytes])
      const head = !hasHead && said.includes(HEAD_END, from) ? readHead() : undefined
      hasHead ||= head !== undefined
      isTar = head?.groups?.['status'] === '200'
      if (head && isTar) take(said.subarray(head[0].length))
      else if (said.length > MAX_SAID_BYTES) throw toError(notHttp('it does not end'))
    },
    end() {
      if (isTar) return
      const head = readHead()
      if (head) {
        throw toError(refusal(head.groups?.['status'], said.toString('utf8', head[0].length)))
      }
      const begins = said.toString('latin1', 0, 80)
      const isCutOff = begins === '' || begins.startsWith('HTTP/')
      throw toError(isCutOff ? 'the daemon ended the connection' : notHttp(begins.trim()))
    },
  }
}
