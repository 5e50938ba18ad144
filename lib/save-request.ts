// An image's tar out of a Docker daemon without its client: no byte passes through
// another program, and all are read into one buffer, where Node's streams take a
// new one for each piece.
import { connect } from 'node:net'
import { finished } from 'node:stream/promises'

import type { Ending } from './child.ts'
import { describeFailure, failureIn, notHttp } from './daemon.ts'
import { engineError } from './engine-error.ts'
import { ToolError, interrupted } from './errors.ts'

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
  const answer = createAnswer(take)
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES)
  const socket = connect({
    path: socketPath,
    onread: {
      buffer,
      callback(sizeBytes) {
        try {
          answer.write(buffer.subarray(0, sizeBytes))
        } catch (error) {
          socket.destroy(error instanceof Error ? error : new Error(String(error)))
        }
        return true
      },
    },
  })
  // To 1.0 the body is not sent in chunks that each had to be unwrapped.
  socket.write(`GET ${pathOf(image)} HTTP/1.0\r\nHost: docker\r\n\r\n`)
  let wasKilled = false
  const receive = async (): Promise<void> => {
    try {
      await finished(socket)
      answer.end()
    } catch (error) {
      if (wasKilled) throw interrupted()
      if (error instanceof ToolError) throw error
      throw engineError(`save "${image.name}"`, describeFailure(error))
    }
  }
  const exited = receive()
  exited.catch(() => {})
  return {
    exited,
    kill() {
      wasKilled = true
      socket.destroy()
    },
  }
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
const MOST_SAID_BYTES = 64 * 1024

// What comes is the tar where the head of the answer says so, else what went wrong.
function createAnswer(take: Take): { write: Take; end: () => void } {
  let said = Buffer.alloc(0)
  let isTar = false
  const readHead = (): RegExpExecArray | null => HEAD.exec(said.toString('latin1'))
  return {
    write(bytes) {
      if (isTar) return take(bytes)
      said = Buffer.concat([said, bytes])
      if (said.length > MOST_SAID_BYTES) throw new Error(notHttp('it does not end'))
      const head = readHead()
      isTar = head?.groups?.['status'] === '200'
      if (head && isTar) take(said.subarray(head[0].length))
    },
    end() {
      if (isTar) return
      if (said.length === 0) throw new Error('the daemon ended the connection')
      const head = readHead()
      if (!head) throw new Error(notHttp(said.toString('latin1', 0, 80)))
      const body = said.toString('utf8', head[0].length)
      throw new Error(failureIn(body) ?? body)
    },
  }
}
