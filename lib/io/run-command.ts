// Runs programs that give a short text, such as their version.
import { $ } from 'zx/core'

import { memoryError } from '../core/errors.ts'
import { leadGroup } from './process-group.ts'

/** How a program ended, and what it printed. */
export interface CommandResult {
  /** Null if a signal ended it; {@link NOT_FOUND} if there is no such program. */
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

/** The exit status if a program is not on PATH. */
export const NOT_FOUND = 127

// With `exec` the program replaces the shell, so that it leads its process group.
const ASKING = { nothrow: true, quiet: true, prefix: 'exec ', detached: true }

// These settings keep bash from running other scripts first. Bash runs ~/.bashrc if it
// takes itself for the outermost shell of a remote login; a socket as its input, as here,
// is enough for that. It also runs the file that BASH_ENV names, which module systems of
// clusters set. Both are slow, and their output would be part of the result.
const INNER = { SHLVL: '1', BASH_ENV: undefined }

/**
 * @param program - the name of a program on PATH
 * @param args - the arguments; the shell gets them quoted
 * @param signal - ends the program with its group; the output may then be missing
 * @returns how the program ended, and what it printed
 * @throws NO_MEMORY if there is no memory for one more program
 */
export async function runCommand(
  program: string,
  args: readonly string[],
  signal?: AbortSignal,
): Promise<CommandResult> {
  const env = { ...process.env, ...INNER }
  const answer = $({ ...ASKING, env })`${program} ${args}`
  const { child } = answer
  if (child?.pid === undefined) return notStarted(program, await answer)
  const group = leadGroup(child)
  const stopped = Promise.withResolvers<CommandResult>()
  const stop = async (): Promise<void> => {
    await group.end()
    // Other processes may hold its pipes, and zx would wait until they close.
    for (const stream of [child.stdout, child.stderr]) stream?.destroy()
    child.unref()
    stopped.resolve({ exitCode: null, stdout: '', stderr: '' })
  }
  const onAbort = (): void => void stop()
  signal?.addEventListener('abort', onAbort)
  if (signal?.aborted) onAbort()
  try {
    return await Promise.race([answer, stopped.promise])
  } finally {
    signal?.removeEventListener('abort', onAbort)
    await group.end()
  }
}

function notStarted(
  program: string,
  answer: CommandResult & { readonly cause?: unknown },
): CommandResult {
  const { cause } = answer
  if (cause instanceof Error) throw memoryError(`start "${program}"`, cause) ?? cause
  return answer
}
