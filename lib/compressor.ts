// pixz where it is, else xz: both run as children and use all processors.
import { availableParallelism } from 'node:os'
import type { Writable } from 'node:stream'
import { $ } from 'zx/core'

import { startChild, type Child } from './child.ts'
import { ToolError, type ErrorCode } from './errors.ts'

/** A compressor found on PATH. */
export interface Compressor {
  readonly name: 'pixz' | 'xz'
  /** As it says itself, for instance `5.4.1`. */
  readonly version: string
}

/**
 * @returns pixz, else xz
 * @throws NO_COMPRESSOR where neither is on PATH
 */
export async function findCompressor(): Promise<Compressor> {
  const [pixz, xz] = await Promise.all([askVersion('pixz', '-h'), askVersion('xz', '--version')])
  if (pixz !== undefined) return { name: 'pixz', version: pixz }
  if (xz !== undefined) return { name: 'xz', version: xz }
  throw new ToolError('NO_COMPRESSOR', 'find a compressor: neither pixz nor xz is on PATH', {
    hint: 'install one: sudo apt-get install pixz (or xz-utils)',
  })
}

/**
 * @param options - `level` 0 to 9; `threads` without it all processors
 * @returns a child that turns a tar into one .xz stream
 */
export function startCompressor(
  compressor: Compressor,
  options: { level: number; threads?: number | undefined },
): Child {
  const { level, threads } = options
  const args =
    compressor.name === 'pixz'
      ? ['-t', `-${level}`, ...(threads === undefined ? [] : ['-p', `${threads}`])]
      : ['-c', `-${level}`, xzThreads(compressor, threads)]
  return start(compressor, args, { code: 'COMPRESSOR_FAILED', action: 'compress' })
}

/**
 * @param options - `output`: another child's stdin to write to
 * @returns a child that turns .xz streams, one after the other, into what was compressed
 */
export function startDecompressor(
  compressor: Compressor,
  options: { threads?: number | undefined; archive: string; output?: Writable },
): Child {
  const { threads, archive, output } = options
  const args =
    compressor.name === 'pixz'
      ? ['-d', ...(threads === undefined ? [] : ['-p', `${threads}`])]
      : ['-dc', ...(isFrom54(compressor) ? [`-T${threads ?? 0}`] : [])]
  return start(compressor, args, {
    code: 'BAD_ARCHIVE',
    action: `decompress "${archive}"`,
    hint: 'it is damaged or was cut off: copy it again from where it was made',
    output,
  })
}

// xz writes other bytes with one thread than with several, unless it is told
// to work with one thread as if there were more, as it can from 5.4 on. So the
// same image gives the same archive on every machine.
function xzThreads(compressor: Compressor, threads = availableParallelism()): string {
  if (threads > 1) return `-T${threads}`
  return isFrom54(compressor) ? '-T+1' : '-T2'
}

function isFrom54({ version }: Compressor): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > 5 || (major === 5 && minor >= 4)
}

function start(
  { name }: Compressor,
  args: readonly string[],
  options: { code: ErrorCode; action: string; hint?: string; output?: Writable | undefined },
): Child {
  const { code, action, hint, output } = options
  return startChild(name, args, {
    noise: NOISE,
    stdout: output ?? 'pipe',
    explain: (stderr) => new ToolError(code, `${action}: ${name}: ${stderr}`, { hint }),
  })
}

// pixz says so whenever it reads a pipe; it means nothing.
const NOISE = /^can not seek in input: Illegal seek$/gm

const NOT_FOUND = 127

async function askVersion(name: string, flag: string): Promise<string | undefined> {
  const answer = await $({ nothrow: true, quiet: true })`${name} ${flag}`
  if (answer.exitCode === NOT_FOUND) return undefined
  return /\b(\d+\.\d+(\.\d+)?\w*)/.exec(answer.stdout + answer.stderr)?.[1] ?? 'unknown'
}
