// What compresses and decompresses on this machine: programs on PATH, and where
// those are missing or slow, what is built in.
import { availableParallelism } from 'node:os'

import { runCommand, NOT_FOUND } from '../io/run-command.ts'
import type { Codec, Coding } from './formats.ts'
import { ToolError, interrupted } from '../core/errors.ts'
import type { VerbContext } from '../core/outcome.ts'

/** What can be asked for by name. */
export const COMPRESSOR_NAMES = ['pixz', 'xz', 'zstd', 'builtin'] as const

/** The name of a program, or `builtin` for what needs none. */
export type CompressorName = (typeof COMPRESSOR_NAMES)[number]

/** A compressor that is there. */
export interface Compressor {
  readonly name: CompressorName
  /** As it says itself, for instance `5.4.1`. */
  readonly version: string
}

/** What reads each codec. */
export interface Decompressors extends Readonly<Record<Codec, Compressor>> {
  /** Told where what is built in has work for one processor only, or stands in for pixz, and why. */
  readonly onDegraded?: (reason: string) => void
}

const WRITERS: Readonly<Record<Codec, readonly CompressorName[]>> = {
  xz: ['pixz', 'xz'],
  zstd: ['zstd', 'builtin'],
}

/** Gives a compressor, undefined if it is not there; asks each program once. */
type Find = (name: CompressorName, codec: Codec) => Promise<Compressor | undefined>

/**
 * @param wanted - the only one to take; without it the best that is there
 * @param find - with what it has been told before
 * @returns what writes a codec
 * @throws NO_COMPRESSOR where there is none; USAGE where the one that is wanted does not write it
 */
export async function findCompressor(
  codec: Codec,
  wanted?: CompressorName,
  find = createFind(),
): Promise<Compressor> {
  if (wanted !== undefined && !WRITERS[codec].includes(wanted)) {
    throw new ToolError('USAGE', `--compressor: ${wanted} does not write ${codec}`, {
      hint: `want ${WRITERS[codec].join(' or ')}, or another --format`,
    })
  }
  if (wanted !== undefined) return findWanted(find, wanted, codec)
  for (const name of WRITERS[codec]) {
    const found = await find(name, codec)
    if (found) return found
  }
  throw new ToolError('NO_COMPRESSOR', 'find a compressor: neither pixz nor xz is on PATH', {
    hint: 'install one: sudo apt-get install pixz (or xz-utils); --format zst needs none',
  })
}

/** What programs are asked with: where remarks go, and what ends the questions. */
type AskingContext = Pick<VerbContext, 'notify'> & Partial<Pick<VerbContext, 'signal'>>

/** What writes an archive, and reads what is taken from others. */
export interface Compressors {
  readonly compressor: Compressor
  readonly decompressors: Decompressors
  /** The segments, by sha256, that are known to hold what is said of them: grows with the run. */
  readonly verified: Set<string>
}

/**
 * Finds what writes archives, and says so.
 *
 * @throws as {@link findCompressor}
 */
export async function findCompressors(
  options: AskingContext & {
    readonly coding: Coding
    readonly threads: number | undefined
    readonly compressor: CompressorName | undefined
  },
): Promise<Compressors> {
  const { coding, threads, compressor: wanted, notify, signal } = options
  const find = createFind(signal)
  const [compressor, decompressors] = await Promise.all([
    findCompressor(coding.codec, wanted, find),
    findDecompressors({ threads, wanted: undefined, notify }, find),
  ])
  const { name, version } = compressor
  const text = `compressing with ${name} ${version}, level ${coding.level}`
  notify({ type: 'remark', text })
  return { compressor, decompressors, verified: new Set() }
}

/**
 * @param options - `threads` without it all processors; `wanted`: the only one
 *   to take for what it reads; without it the fastest that is there
 * @param find - with what it has been told before
 * @throws NO_COMPRESSOR where the one that is wanted is not there
 */
export async function findDecompressors(
  options: AskingContext & {
    readonly threads: number | undefined
    readonly wanted: CompressorName | undefined
  },
  find = createFind(options.signal),
): Promise<Decompressors> {
  const { threads = availableParallelism(), wanted, notify } = options
  const onDegraded = (text: string): void => notify({ type: 'remark', text })
  if (wanted === 'builtin') return { xz: bundled('xz'), zstd: bundled('zstd'), onDegraded }
  const readsXz = wanted === 'pixz' || wanted === 'xz'
  const [xz, zstd] = await Promise.all([
    readsXz ? findWanted(find, wanted, 'xz') : findXzReader(find, threads),
    wanted === 'zstd' ? findWanted(find, wanted, 'zstd') : find('zstd', 'zstd'),
  ])
  return { xz, zstd: zstd ?? bundled('zstd'), onDegraded }
}

async function findXzReader(find: Find, threads: number): Promise<Compressor> {
  const pixz = await find('pixz', 'xz')
  if (pixz) return pixz
  const xz = await find('xz', 'xz')
  return xz && (threads === 1 || usesProcessors(xz)) ? xz : bundled('xz')
}

/** @returns whether an xz decompresses on several processors, as it does from 5.4 on. */
export function usesProcessors({ version }: Compressor): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > 5 || (major === 5 && minor >= 4)
}

/** @returns what reads which codec, for people. */
export function describeDecompressors({ xz, zstd }: Decompressors): string {
  return `decompressing xz with ${xz.name} ${xz.version}, zst with ${zstd.name} ${zstd.version}`
}

/** @returns what reads a codec where no program does. */
export function bundled(codec: Codec): Compressor {
  return {
    name: 'builtin',
    version: codec === 'xz' ? 'liblzma' : `${process.versions['zstd']}`,
  }
}

async function findWanted(find: Find, name: CompressorName, codec: Codec): Promise<Compressor> {
  const found = await find(name, codec)
  if (found) return found
  throw new ToolError('NO_COMPRESSOR', `find a compressor: ${name} is not on PATH`, {
    hint: 'install it, or leave out --compressor',
  })
}

const FLAGS = { pixz: '-h', xz: '--version', zstd: '--version' }

function createFind(signal?: AbortSignal): Find {
  const asked = new Map<CompressorName, ReturnType<Find>>()
  return (name, codec) => {
    if (name === 'builtin') return Promise.resolve(bundled(codec))
    const found = asked.get(name) ?? askVersion(name, signal)
    asked.set(name, found)
    return found
  }
}

async function askVersion(
  name: keyof typeof FLAGS,
  signal: AbortSignal | undefined,
): Promise<Compressor | undefined> {
  const answer = await runCommand(name, [FLAGS[name]], signal)
  if (signal?.aborted) throw interrupted()
  if (answer.exitCode === NOT_FOUND) return undefined
  const version = /\bv?(\d+\.\d+(\.\d+)?\w*)/.exec(answer.stdout + answer.stderr)?.[1] ?? 'unknown'
  return { name, version }
}
