// Short questions to programs, whose answer is a text.
import { $ } from 'zx/core'

import { memoryError } from '../core/errors.ts'
import { leadGroup } from './process-group.ts'

/** What a program answered. */
export interface CommandResult {
  /** Null where a signal ended it; {@link NOT_FOUND} where there is no such program. */
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

/** The exit status where a program is not on PATH. */
export const NOT_FOUND = 127

// The program takes the place of the shell, and leads a group of its own.
const ASKING = { nothrow: true, quiet: true, prefix: 'exec ', detached: true }

// Bash runs ~/.bashrc first where it takes itself for the outermost shell of a
// remote login, for which it is enough that its input is a socket, as here: slow,
// and what it prints would be part of the answer. The same goes for what BASH_ENV
// names, as module systems of clusters have it do.
const INNER = { SHLVL: '1', BASH_ENV: undefined }

/**
 * @param program - looked for on PATH
 * @param args - as they are: they are quoted
 * @param signal - ends the program with its group; then what it said may be cut off
 * @throws NO_MEMORY where there is none for one more program
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
    // Others may hold its pipes, which are waited for else.
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
