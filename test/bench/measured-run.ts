// Runs programs and pipelines for the benches: a failure is an error, and none
// outlives the bench.
import { readFile } from 'node:fs/promises'

import { start, startFile, type Program, type RunOptions, type Running } from '../fixtures/run.ts'

const running = new Set<Running>()

/** Says on stderr what is being done. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** Ends at once whatever still runs, with its children. */
export function killRunning(): void {
  for (const { signalGroup } of running) signalGroup('SIGKILL')
}

/**
 * Runs the executable of one of the four programs to its end.
 * @returns the greatest resident size of its own process, in bytes: the last
 *   VmHWM that was seen, which only grows; its children are not in it
 * @throws an error with its stderr where its status is not 0
 */
export async function runProgram(
  program: Program,
  args: string[],
  options: RunOptions & { readonly sampleMemory?: boolean },
): Promise<number> {
  const started = start(program, args, { form: 'executable', ...options })
  return watch(`${program} ${args.join(' ')}`, started, options.sampleMemory)
}

/** Runs any executable to its end, as {@link runProgram} does a program. */
export async function peakOfFile(file: string, args: string[]): Promise<number> {
  return watch(`${file} ${args.join(' ')}`, startFile(file, args), true)
}

async function watch(what: string, process: Running, sampleMemory = false): Promise<number> {
  const sampler = sampleMemory ? samplePeak(process.child.pid) : undefined
  try {
    await succeed(what, process)
  } finally {
    sampler?.stop()
  }
  return sampler?.peakBytes() ?? 0
}

/**
 * Runs a bash pipeline to its end; a failure anywhere in it counts.
 * @throws an error with its stderr where its status is not 0
 */
export async function runPipeline(script: string, options: RunOptions): Promise<void> {
  await succeed(script, startFile('bash', ['-o', 'pipefail', '-euc', script], options))
}

/** Runs any executable to its end, as {@link runPipeline} does. */
export async function runFile(file: string, args: string[]): Promise<void> {
  await succeed(`${file} ${args.join(' ')}`, startFile(file, args))
}

async function succeed(what: string, process: Running): Promise<void> {
  running.add(process)
  try {
    const { status, signal, stdout, stderr } = await process.done
    if (status === 0) return
    throw new Error(`run "${what}": got ${status ?? signal}, want 0:\n${stdout}${stderr}`)
  } finally {
    running.delete(process)
  }
}

const SAMPLE_MS = 50

function samplePeak(pid: number | undefined): { peakBytes: () => number; stop: () => void } {
  let peakBytes = 0
  const sample = async (): Promise<void> => {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
    const kib = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]
    if (kib !== undefined) peakBytes = Number(kib) * 1024
  }
  const timer = setInterval(() => void sample(), SAMPLE_MS)
  return { peakBytes: () => peakBytes, stop: () => clearInterval(timer) }
}
