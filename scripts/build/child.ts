// Runs the tools of a build to their end: npm, tar, pkg. Unlike the children of
// lib/io/child.ts they carry no image bytes, but want a directory and an
// environment of their own, and what they say is only of interest if they fail.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'

import { interrupted, type ToolError } from '../../lib/core/errors.ts'
import { leadGroup } from '../../lib/io/process-group.ts'

/** How to run a tool, and how to tell of its failure. */
export interface ToolOptions {
  readonly cwd: string
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>
  /** Ends it. */
  readonly signal: AbortSignal
  /** @returns the error for what it wrote, stdout before stderr. */
  readonly toError: (output: string) => ToolError
}

/**
 * @returns its stdout
 * @throws what `explain` gives if it fails; INTERRUPTED if the signal ended it
 */
export async function runTool(
  command: string,
  args: readonly string[],
  options: ToolOptions,
): Promise<string> {
  const { cwd, env, signal, toError } = options
  if (signal.aborted) throw interrupted()
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const group = leadGroup(child)
  const stop = (): void => void group.end()
  signal.addEventListener('abort', stop)
  // Not before its end: what it writes to is removed then.
  const [stdout, stderr, [status]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close').catch((cause: Error) => [cause.message]),
  ])
  signal.removeEventListener('abort', stop)
  await group.end()
  if (signal.aborted) throw interrupted()
  if (status === 0) return stdout
  throw toError(`${stdout}${stderr}` || `it ended with ${status}`)
}
