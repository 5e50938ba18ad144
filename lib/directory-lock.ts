// One writing run a directory. The lock is an abstract socket: the kernel lets
// go of it however the process ends, so no stale lock is ever in the way.
import { stat } from 'node:fs/promises'
import { createServer } from 'node:net'

import { ToolError, isSystemError } from './errors.ts'

/**
 * @param dir - an existing directory
 * @returns a function that lets go
 * @throws BUSY where another process of this network namespace has it
 * @see unix(7), "Abstract sockets"
 */
export async function lockDirectory(dir: string): Promise<() => Promise<void>> {
  const { dev, ino } = await stat(dir, { bigint: true })
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(explain(error, dir)))
    server.listen(`\0dgx-offline-images:${dev}:${ino}`, resolve)
  })
  server.unref()
  return () => new Promise((resolve) => server.close(() => resolve()))
}

function explain(error: Error, dir: string): Error {
  if (!isSystemError(error) || error.code !== 'EADDRINUSE') return error
  return new ToolError('BUSY', `write to "${dir}": another run is writing there`, {
    hint: 'wait for its end, or use another --dir',
    cause: error,
  })
}
