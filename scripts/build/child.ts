// Runs the tools of a build to their end: npm, tar, pkg. Unlike the children of
// lib/io/child.ts, they carry no image bytes, but need a directory and an environment of
// their own. Their messages matter only if they fail.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'

import { interrupted, type ToolError } from '../../lib/core/errors.ts'
import { leadGroup } from '../../lib/io/process-group.ts'

/** How to run a tool, and how to make the error if it fails. */
export interface ToolOptions {
  readonly cwd: string
  /** Variables to add to the environment of this process. */
  readonly env?: Readonly<Record<string, string>>
  /** Ends the tool with its process group. */
  readonly signal: AbortSignal
  /** @returns the error for the output of the tool, stdout before stderr. */
  readonly toError: (output: string) => ToolError
}

/**
 * @returns the stdout of the tool
 * @throws the error of `toError` if the tool fails; INTERRUPTED if the signal is aborted
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
  // This waits for the end of the tool even after a signal, because the caller then removes
  // the directory that the tool writes to.
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
