// Compresses the bytes of one segment, with a program or the bundled codec. The options
// give all processors work, and the same bytes of archive on every machine.
import { availableParallelism } from 'node:os'

import { ToolError } from '../core/errors.ts'
import { startChild } from '../io/child.ts'
import type { Task } from '../io/task.ts'
import type { Coding } from './formats.ts'
import { withHugePages, fitThreads } from './memory.ts'
import { usesProcessors, type Compressor } from './programs.ts'
import { startZstdEncoder } from './zstd/encoder.ts'

/** How to compress. */
export interface CompressionOptions {
  readonly coding: Coding
  /** Number of threads; without it as many as there are processors. */
  readonly threads?: number | undefined
  /** Size of the bytes to compress, if it is known before. */
  readonly sizeBytes?: number | undefined
}

/** @returns a task that turns bytes into one .xz stream, or into .zst frames */
export function startCompressor(compressor: Compressor, options: CompressionOptions): Task {
  const { name } = compressor
  if (name === 'builtin') return startEncoder(options)
  return startChild(name, commandArguments(compressor, options), {
    env: programEnvironment((options.sizeBytes ?? 0) >= HUGE_PAGES_BYTES),
    ignoredStderr: NOISE,
    toError: (stderr) => new ToolError('COMPRESSOR_FAILED', `compress: ${name}: ${stderr}`),
  })
}

// For a smaller layer the kernel may take longer to find huge pages than they save.
const HUGE_PAGES_BYTES = 128 * 1024 * 1024

/**
 * @param isLong - whether the program runs long enough to use huge pages
 * @returns the environment of a program that compresses or decompresses, without the
 *   user's own options for xz, which could change the bytes of an archive
 */
export function programEnvironment(isLong: boolean): NodeJS.ProcessEnv {
  const env = isLong ? withHugePages() : process.env
  return { ...env, XZ_DEFAULTS: undefined, XZ_OPT: undefined }
}

/** Matches a message that pixz prints whenever it reads a pipe; it does not mean a failure. */
export const NOISE = /^can not seek in input: Illegal seek$/gm

/**
 * How many bytes pixz 1.0.7 reads ahead after the end of a stream. If they hold the whole
 * first block of the next stream, pixz loses the bytes after it, and fails. Zeros between
 * two streams avoid that; they are part of the format and have no meaning.
 *
 * @see https://github.com/vasi/pixz/issues/89
 */
export const PIXZ_AHEAD_BYTES = 4096

/**
 * @param sizeBytes - the size of the bytes to compress
 * @returns how many of these bytes one processor gets at a time
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

// The same image has to give the same archive on every machine. xz writes other bytes
// with one thread than with several. From 5.4 on, `-T+1` means one thread that writes the
// same bytes as several; older versions get two threads.
function xzThreads(compressor: Compressor, threads = availableParallelism()): string {
  if (threads > 1) return `-T${threads}`
  return usesProcessors(compressor) ? '-T+1' : '-T2'
}

// One processor works on a job. For a large layer a job is as large as the default window.
// The default job of zstd is much smaller, and makes the archive some percent larger.
function zstdJobs({ threads, sizeBytes }: CompressionOptions): string[] {
  const job = zstdJobBytes(sizeBytes)
  return [`-B${job}`, `-T${fitThreads(threads, 1.5 * job)}`]
}

// A layer that is cut into two to four jobs becomes a thousandth larger.
function zstdJobBytes(sizeBytes: number | undefined): number {
  return smallBlockBytes(sizeBytes, ZSTD_JOB_BYTES, MIN_ZSTD_JOB_BYTES) ?? ZSTD_JOB_BYTES
}

const MIB = 1024 * 1024
const ZSTD_JOB_BYTES = 128 * MIB
const MIN_ZSTD_JOB_BYTES = 48 * MIB
// The dictionary of each level of xz, in MiB, and the number of dictionaries that make the
// default block of each program.
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

// A layer of one or two default blocks would keep only one or two processors busy, and
// the run would wait for it if it is the last layer. So such a layer gets smaller blocks.
// Their size depends only on the size of the layer, because the bytes of the archive must
// not depend on the machine.
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
