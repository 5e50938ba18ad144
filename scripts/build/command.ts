// The command line that build and release share. Their messages go to stderr. A signal ends
// their children and removes half-made files. An expected failure prints a message and a
// hint, a bug its stack.
import { formatError, isInterruption, toToolError } from '../../lib/core/errors.ts'

const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const

/** What a command gets to work with. */
export interface CommandContext {
  /** Prints what the command does now. */
  readonly say: (text: string) => void
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal
}

/**
 * Runs a command and sets the exit status: 0, 1 for a failure, 130 or 143 for a signal.
 * @param name - the name of the command, printed before each message
 * @param work - the work of the command
 */
export async function runCommand(
  name: string,
  work: (context: CommandContext) => Promise<void>,
): Promise<void> {
  const controller = new AbortController()
  for (const [signal, status] of Object.entries(SIGNALS)) {
    process.once(signal, () => {
      process.exitCode = status
      controller.abort()
    })
  }
  const say = (text: string): void => void process.stderr.write(`${name}: ${text}\n`)
  try {
    await work({ say, signal: controller.signal })
  } catch (thrown) {
    const error = toToolError(thrown)
    if (!error) throw thrown
    if (isInterruption(error)) return say('interrupted')
    process.stderr.write(`${formatError(name, error)}\n`)
    process.exitCode = 1
  } finally {
    for (const signal of Object.keys(SIGNALS)) process.removeAllListeners(signal)
  }
}
