// Tar bytes into one segment, by a child that uses all processors.
import { availableParallelism } from 'node:os'

import { ToolError } from '../core/errors.ts'
import { startChild, type Task } from '../io/child.ts'
import type { Coding } from './formats.ts'
import { withHugePages, fitThreads } from './memory.ts'
import { usesProcessors, type Compressor } from './programs.ts'
import { startZstdEncoder } from './zstd/encoder.ts'

/** How to compress. */
export interface CompressionOptions {
  readonly coding: Coding
  /** All processors without it. */
  readonly threads?: number | undefined
  /** Of what is compressed, where it is known before. */
  readonly sizeBytes?: number | undefined
}

/** @returns a child that turns bytes into one .xz stream, or into .zst frames */
export function startCompressor(compressor: Compressor, options: CompressionOptions): Task {
  const { name } = compressor
  if (name === 'builtin') return startEncoder(options)
  return startChild(name, commandArguments(compressor, options), {
    env: programEnvironment(),
    ignoredStderr: NOISE,
    toError: (stderr) => new ToolError('COMPRESSOR_FAILED', `compress: ${name}: ${stderr}`),
  })
}

/** @returns the environment of a program that compresses or decompresses: no options of the user's for xz. */
export function programEnvironment(): NodeJS.ProcessEnv {
  return { ...withHugePages(), XZ_DEFAULTS: undefined, XZ_OPT: undefined }
}

/** What pixz says whenever it reads a pipe; it means nothing. */
export const NOISE = /^can not seek in input: Illegal seek$/gm

/**
 * How far pixz 1.0.7 reads ahead after a stream: where all of the next one's first
 * block lies there, it loses what follows, and fails. Zeros between two streams mean
 * nothing.
 *
 * @see https://github.com/vasi/pixz/issues/89
 */
export const PIXZ_AHEAD_BYTES = 4096

/**
 * @param sizeBytes - of what is compressed
 * @returns the bytes of it that a processor gets at a time
 */
export function blockBytes(compressor: Compressor, coding: Coding, sizeBytes: number): number {
  if (compressor.name === 'builtin') return ZSTD_JOB_BYTES
  if (coding.codec === 'zstd') return zstdJobBytes(sizeBytes)
  const dictionaries = compressor.name === 'pixz' ? PIXZ_DICTIONARIES : XZ_DICTIONARIES
  const standardBytes = dictionaries * dictionaryBytes(coding)
  return smallBlockBytes(sizeBytes, standardBytes, MIN_XZ_BLOCK_BYTES) ?? standardBytes
}

function startEncoder({ coding, threads }: CompressionOptions): Task {
  const { level, windowLog } = coding
  if (windowLog === undefined) throw new Error(`nothing built in writes ${coding.codec}`)
  return startZstdEncoder({ level, windowLog, threads })
}

function commandArguments(compressor: Compressor, options: CompressionOptions): string[] {
  const { level, windowLog } = options.coding
  const { threads } = options
  switch (compressor.name) {
    case 'pixz':
      return ['-t', `-${level}`, ...pixzBlocks(options), ...(threads ? ['-p', `${threads}`] : [])]
    case 'xz':
      return ['-c', `-${level}`, xzThreads(compressor, threads), ...xzBlocks(options)]
    default:
      return ['-qc', `-${level}`, `--long=${windowLog}`, ...zstdJobs(options)]
  }
}

// xz writes other bytes with one thread than with several, unless asked
// to work with one thread as if there were more, as it can from 5.4 on. So the
// same image gives the same archive on every machine.
function xzThreads(compressor: Compressor, threads = availableParallelism()): string {
  if (threads > 1) return `-T${threads}`
  return usesProcessors(compressor) ? '-T+1' : '-T2'
}

// A job is for one processor, and of as much as the window reaches where the layer
// is large; zstd itself would make it much smaller: the archive is some percent smaller so.
function zstdJobs({ threads, sizeBytes }: CompressionOptions): string[] {
  const job = zstdJobBytes(sizeBytes)
  return [`-B${job}`, `-T${fitThreads(threads, 1.5 * job)}`]
}

// In two to four jobs a layer becomes a thousandth larger.
function zstdJobBytes(sizeBytes: number | undefined): number {
  return smallBlockBytes(sizeBytes, ZSTD_JOB_BYTES, MIN_ZSTD_JOB_BYTES) ?? ZSTD_JOB_BYTES
}

const MIB = 1024 * 1024
const ZSTD_JOB_BYTES = 128 * MIB
const MIN_ZSTD_JOB_BYTES = 48 * MIB
// Dictionaries of the levels, in MiB, and what each program makes blocks of by itself.
const DICTIONARY_MIB = [0.25, 1, 2, 4, 4, 8, 8, 16, 32, 64]
const PIXZ_DICTIONARIES = 2
const XZ_DICTIONARIES = 3

function pixzBlocks({ coding, sizeBytes }: CompressionOptions): string[] {
  const dictionary = dictionaryBytes(coding)
  const standardBytes = PIXZ_DICTIONARIES * dictionary
  const block = smallBlockBytes(sizeBytes, standardBytes, MIN_XZ_BLOCK_BYTES)
  return block === undefined ? [] : ['-f', `${block / dictionary}`]
}

function xzBlocks({ coding, sizeBytes }: CompressionOptions): string[] {
  const standardBytes = XZ_DICTIONARIES * dictionaryBytes(coding)
  const block = smallBlockBytes(sizeBytes, standardBytes, MIN_XZ_BLOCK_BYTES)
  return block === undefined ? [] : [`--block-size=${block}`]
}

function dictionaryBytes({ level }: Coding): number {
  return (DICTIONARY_MIB[level] ?? 8) * MIB
}

const MIN_XZ_BLOCK_BYTES = 4 * MIB
const MAX_BLOCKS = 4
const BLOCK_UNIT_BYTES = 64 * 1024

// A layer of a block or two would keep a processor or two busy, and all wait
// for it where it is the last one. Depends on nothing but the layer's size, as
// the archive's bytes must not.
function smallBlockBytes(
  sizeBytes = 0,
  defaultBytes: number,
  minBytes: number,
): number | undefined {
  const blocks = Math.min(MAX_BLOCKS, Math.floor(sizeBytes / minBytes))
  if (blocks < 2) return undefined
  const block = Math.ceil(sizeBytes / blocks / BLOCK_UNIT_BYTES) * BLOCK_UNIT_BYTES
  return block < defaultBytes ? block : undefined
}
