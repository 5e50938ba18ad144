// The code that all four programs share: arguments, --help, signals, exit status. Only
// lib/cli and the scripts read argv, print lines and set the exit status.
import { availableParallelism } from 'node:os'

import { formatError, interrupted, toToolError } from '../core/errors.ts'
import type { Outcome, RunContext } from '../core/outcome.ts'
import { signalGroups } from '../io/process-group.ts'
import { parseArguments, type Arguments } from './arguments.ts'
import { sizeThreadPool, keepYoungHeapSmall } from './runtime.ts'

/** One of the four programs. */
export interface Program {
  readonly name: string
  /** The text of --help; its option lines define the options. */
  readonly usage: string
  /** Turns the arguments into a verb's options and calls it. */
  readonly run: (args: Arguments, context: RunContext) => AsyncIterable<Outcome>
}

const MAX_THREADS = 1024

/** Exit statuses: all done, something failed, wrong usage. */
const DONE = 0
const FAILED = 1
const WRONG_USAGE = 2
const SIGNALS = [
  ['SIGHUP', 129],
  ['SIGINT', 130],
  ['SIGQUIT', 131],
  ['SIGTERM', 143],
] as const

/** Runs a program with the arguments of this process, and sets its exit status. */
export async function main(program: Program): Promise<void> {
  outliveOutputs(program)
  try {
    const args = parseArguments(program.usage, process.argv.slice(2))
    if (args.flag('help')) process.stdout.write(program.usage)
    else if (args.flag('version')) await printVersion(program)
    else {
      // This status stays if Node ends early because nothing is left to wait for.
      process.exitCode = FAILED
      process.exitCode = await run(program, args)
    }
  } catch (thrown) {
    const error = toToolError(thrown)
    if (!error) throw thrown
    process.stderr.write(`${formatError(program.name, error)}\n`)
    process.exitCode = error.code === 'USAGE' ? WRONG_USAGE : FAILED
  }
}

async function run(program: Program, args: Arguments): Promise<number> {
  keepYoungHeapSmall()
  const threads = args.number('threads', 1, MAX_THREADS)
  sizeThreadPool(threads ?? availableParallelism())
  const { createReport } = await import('./report.ts')
  const report = await createReport(program.name, { json: args.flag('json') })
  const interruption = listenForSignals()
  const notify: RunContext['notify'] = (notice) => report.notify(notice)
  const context = { notify, signal: interruption.signal, threads }
  try {
    for await (const outcome of program.run(args, context)) {
      // A failure after a signal is an effect of the signal, so it is not reported.
      const isVictim = interruption.signal.aborted && outcome.result === 'failed'
      if (!isVictim) report.add(outcome)
      if (interruption.signal.aborted) throw interrupted()
    }
    return report.finish() ? DONE : FAILED
  } catch (thrown) {
    const status = interruption.status()
    // After a signal, any expected error is an effect of the signal.
    if (status === undefined || !toToolError(thrown)) throw thrown
    report.close()
    process.stderr.write(`${program.name}: interrupted\n`)
    return status
  } finally {
    report.close()
    interruption.stop()
  }
}

// The first signal ends children and removes temporary files. A second one ends the
// process at once. A second SIGHUP does not: a terminal that is closed sends it twice.
function listenForSignals(): {
  signal: AbortSignal
  status: () => number | undefined
  stop: () => void
} {
  const controller = new AbortController()
  let status: number | undefined
  const listeners = SIGNALS.map(([name, statusOf]) => {
    const onSignal = (): void => {
      if (status !== undefined && name !== 'SIGHUP') process.exit(status)
      status ??= statusOf
      controller.abort()
    }
    return [name, onSignal] as const
  })
  for (const [name, onSignal] of listeners) process.on(name, onSignal)
  process.on('SIGTSTP', stopAll)
  process.on('exit', killAll)
  return {
    signal: controller.signal,
    status: () => status,
    stop: () => {
      for (const [name, onSignal] of listeners) process.off(name, onSignal)
      process.off('SIGTSTP', stopAll)
    },
  }
}

// Stops the children together with this process. Each child leads a process group of its
// own, so Ctrl-Z and Ctrl-C in a terminal do not reach it.
function stopAll(): void {
  signalGroups('SIGSTOP')
  process.off('SIGTSTP', stopAll)
  process.kill(process.pid, 'SIGTSTP')
  // The process stops here until SIGCONT, so this timer runs after that. Without a shell
  // that controls jobs the process does not stop, and goes on at once.
  setTimeout(() => {
    signalGroups('SIGCONT')
    process.on('SIGTSTP', stopAll)
  }, STOP_MS)
}

const STOP_MS = 50

function killAll(): void {
  signalGroups('SIGKILL')
}

// Lets a run go on if its output fails: the reader may stop (`| head`), or the disk of a log
// may be full, and the images matter more. After a full disk the run still counts as failed.
function outliveOutputs({ name }: Program): void {
  for (const output of ['stdout', 'stderr'] as const) {
    let isTold = false
    process[output].on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE' || isTold) return
      isTold = true
      process.on('exit', (status) => (process.exitCode = status || FAILED))
      const hint = 'what it does goes on; what it says is lost'
      const { message } = toToolError(error) ?? error
      const lost = { message: `${output}: ${message}`, hint }
      process.stderr.write(`${formatError(name, lost)}\n`)
    })
  }
}

async function printVersion({ name }: Program): Promise<void> {
  const { formatVersion } = await import('./version.ts')
  process.stdout.write(`${name} ${await formatVersion()}\n`)
}
