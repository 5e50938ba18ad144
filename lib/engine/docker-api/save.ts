// An image's tar out of a Docker daemon without its client: no byte passes through
// another program, and all are read into one buffer, where Node's streams take a
// new one for each piece.
import { connect, type Socket } from 'node:net'
import { finished } from 'node:stream/promises'

import type { Ending } from '../../io/child.ts'
import { describeFailure, notHttp, refusal } from './daemon.ts'
import { engineError } from '../error.ts'
import { interrupted } from '../../core/errors.ts'

/** What is to be saved. */
export interface SavedImage {
  readonly name: string
  /** `os/architecture[/variant]`, where the daemon can choose by it. */
  readonly platform?: string | undefined
}

/** Takes the next bytes, which are overwritten by those that follow. */
export type Take = (bytes: Buffer) => void

const READ_BYTES = 64 * 1024

/**
 * The tar ends where the connection does: whether it is whole, only the tar tells.
 *
 * @param socketPath - where the daemon listens
 * @param take - what it throws ends the request
 * @returns a daemon that was asked to save an image; it ends as a child does
 * @see https://docs.docker.com/reference/api/engine/version/v1.41/#operation/ImageGet
 */
export function requestSave(socketPath: string, image: SavedImage, take: Take): Ending {
  const toError = (error: unknown): Error =>
    engineError(`save "${image.name}"`, describeFailure(error))
  const answer = createAnswer(take, toError)
  // To 1.0 the body is not sent in chunks that each had to be unwrapped.
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

// What `take` throws is passed on as it is: it may be a bug.
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

// What comes is the tar where the head of the answer says so, else what went wrong.
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
      // What was looked at before is not looked at again with each piece.
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
