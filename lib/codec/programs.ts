// Finds the compressors and decompressors of this host: programs on PATH, or the bundled
// codecs if a program is missing or slow.
import { availableParallelism } from 'node:os'

import { ToolError, interrupted } from '../core/errors.ts'
import type { VerbContext } from '../core/outcome.ts'
import { runCommand, NOT_FOUND } from '../io/run-command.ts'
import type { Codec, Coding } from './formats.ts'

/** The compressors that `--compressor` takes by name. */
export const COMPRESSOR_NAMES = ['pixz', 'xz', 'zstd', 'builtin'] as const

/** The name of a program, or `builtin` for a bundled codec. */
export type CompressorName = (typeof COMPRESSOR_NAMES)[number]

/** A compressor that was found on this host. */
export interface Compressor {
  readonly name: CompressorName
  /** Its version as the program prints it, for instance `5.4.1`. */
  readonly version: string
}

/** The decompressor of each codec. */
export interface Decompressors extends Readonly<Record<Codec, Compressor>> {
  /** Is called with the reason if the bundled codec replaces pixz, or can use only one processor. */
  readonly onDegraded?: (reason: string) => void
}

const WRITERS: Readonly<Record<Codec, readonly CompressorName[]>> = {
  xz: ['pixz', 'xz'],
  zstd: ['zstd', 'builtin'],
}

/** Finds a compressor, or undefined if it is not there; asks each program once. */
type Find = (name: CompressorName, codec: Codec) => Promise<Compressor | undefined>

/**
 * @param codec - the codec of the archives to write
 * @param wanted - the only compressor to take; without it the best one that is there
 * @param find - finds a program; it remembers the programs that it has asked before
 * @returns the compressor for a codec
 * @throws NO_COMPRESSOR if there is none; USAGE if the wanted one does not write this codec
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

/** Where remarks go; an abort of `signal` ends the programs that are asked. */
type AskingContext = Pick<VerbContext, 'notify'> & Partial<Pick<VerbContext, 'signal'>>

/** The compressor of new archives, and the decompressors of existing ones. */
export interface Compressors {
  readonly compressor: Compressor
  readonly decompressors: Decompressors
  /** The sha256 of the segments that were verified in this run; the set grows with the run. */
  readonly verified: Set<string>
}

/**
 * Finds the compressor and the decompressors, and says which compressor it is.
 *
 * @throws the errors of {@link findCompressor}
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
 * @param options - `threads`: undefined for all processors; `wanted`: the only program to
 *   take for the codec that it reads; undefined for the fastest one that is there
 * @param find - finds a program; it remembers the programs that it has asked before
 * @returns the decompressor of each codec
 * @throws NO_COMPRESSOR if the wanted one is not there
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

/** @returns whether this version of xz decompresses on several processors: 5.4 and later do. */
export function usesProcessors({ version }: Compressor): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > 5 || (major === 5 && minor >= 4)
}

/** @returns the decompressor of each codec with its version, for people. */
export function describeDecompressors({ xz, zstd }: Decompressors): string {
  return `decompressing xz with ${xz.name} ${xz.version}, zst with ${zstd.name} ${zstd.version}`
}

/** @returns the bundled codec, which needs no program. */
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
