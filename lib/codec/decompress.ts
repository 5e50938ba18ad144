// Decompresses segments into the bytes of a tar, each with the decompressor of its codec.
// The first bytes of a segment decide which codec that is; file names and metadata do not.
import { basename } from 'node:path'
import type { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

import { ToolError } from '../core/errors.ts'
import { COPY_ARCHIVE } from '../core/hints.ts'
import { readStart, type ArchiveRange } from '../io/archive-file.ts'
import { createByteReader } from '../io/byte-reader.ts'
import { endChildren, startChild } from '../io/child.ts'
import { startTransform } from '../io/in-process-child.ts'
import type { Task } from '../io/task.ts'
import { NOISE, PIXZ_AHEAD_BYTES, programEnvironment } from './compress.ts'
import { codecOf, type Codec } from './formats.ts'
import { MAGIC_BYTES } from './magic.ts'
import { bundled, usesProcessors, type Compressor, type Decompressors } from './programs.ts'
import { readRecords } from './xz/block-index.ts'
import { startXzDecoder } from './xz/decoder.ts'
import { readStreams } from './xz/file.ts'
import { startZstdDecoder } from './zstd/decoder.ts'

/** How to decompress. */
export interface DecompressionOptions {
  readonly decompressors: Decompressors
  /** Number of threads; without it as many as there are processors. */
  readonly threads?: number | undefined
  /** The stdin of another child, or a socket, to write to instead of stdout. */
  readonly output?: Writable
}

interface Run {
  readonly codec: Codec
  readonly parts: ArchiveRange[]
}

/**
 * @param parts - the segments; the caller writes their bytes to stdin, one after the other
 * @returns a task that decompresses these bytes; it fails with BAD_ARCHIVE if they are damaged
 */
export async function startDecompressor(
  parts: readonly ArchiveRange[],
  options: DecompressionOptions,
): Promise<Task> {
  const runs = await divide(parts)
  const [only] = runs
  if (only && runs.length === 1) return start(only, options)
  return startTransform((chunks) => readRuns(chunks, runs, options), options.output)
}

// Groups neighbours of one codec. Bytes of an unknown codec go to xz, whose error says so.
async function divide(parts: readonly ArchiveRange[]): Promise<Run[]> {
  const runs: Run[] = []
  for (const part of parts) {
    const codec = codecOf(await readStart(part, MAGIC_BYTES)) ?? 'xz'
    const run = runs.at(-1)
    if (run?.codec === codec) run.parts.push(part)
    else runs.push({ codec, parts: [part] })
  }
  return runs
}

async function* readRuns(
  chunks: AsyncIterable<Buffer>,
  runs: readonly Run[],
  options: DecompressionOptions,
): AsyncGenerator<Buffer> {
  const bytes = createByteReader(chunks)
  for (const run of runs) {
    const sizeBytes = run.parts.reduce((sum, part) => sum + part.sizeBytes, 0)
    const { decompressors, threads } = options
    const child = await start(run, { decompressors, threads })
    const feeding = pipeline(() => bytes.readExactly(sizeBytes), child.stdin)
    feeding.catch(() => {})
    try {
      yield* child.stdout as AsyncIterable<Buffer>
      await child.exited
      await feeding
    } finally {
      await endChildren([child])
    }
  }
}

async function start({ codec, parts }: Run, options: DecompressionOptions): Promise<Task> {
  const { decompressors, threads, output } = options
  const [path = '', ...others] = new Set(parts.map(({ file }) => file.path))
  // The file name is enough for one file; two files of different directories may share it.
  const archive = others.length === 0 ? basename(path) : [path, ...others].join('", "')
  const { onDegraded } = decompressors
  const mayFail = decompressors[codec].name === 'pixz' && (await beginSmall(parts))
  if (mayFail)
    onDegraded?.(`"${archive}" is read by what is built in: pixz may fail on a small stream`)
  const decompressor = mayFail ? bundled(codec) : decompressors[codec]
  if (decompressor.name !== 'builtin') return startProgram(decompressor, archive, options)
  const built = { archive, ...(output && { output }) }
  return codec === 'xz'
    ? startXzDecoder({ parts, threads, onDegraded, ...built })
    : startZstdDecoder(built)
}

// Whether a stream begins with a small block directly after another stream. Errors do not
// matter here: the decompressor reports them.
async function beginSmall(parts: readonly ArchiveRange[]): Promise<boolean> {
  const streams = (await Promise.all(parts.map(readStreams)).catch(() => [])).flat()
  return streams.some(({ index, offsetBytes }, at) => {
    const { paddingBytes = Infinity } = streams[at - 1] ?? {}
    if (paddingBytes >= PIXZ_AHEAD_BYTES) return false
    const [first] = readRecords(index, { archive: '', offsetBytes })
    // Twice the bytes that pixz reads ahead, as a margin.
    return first !== undefined && first.unpaddedBytes < 2 * PIXZ_AHEAD_BYTES
  })
}

function startProgram(
  decompressor: Compressor,
  archive: string,
  { threads, output }: DecompressionOptions,
): Task {
  const { name } = decompressor
  return startChild(name, commandArguments(decompressor, threads), {
    env: programEnvironment(true),
    ignoredStderr: NOISE,
    stdout: output ?? 'pipe',
    toError: (stderr) =>
      new ToolError('BAD_ARCHIVE', `decompress "${archive}": ${name}: ${stderr}`, {
        // The words of zstd. `--long` below allows the largest window that zstd can take.
        hint: /window (size|log)/i.test(stderr)
          ? 'compress it again with a window of at most 2 GiB'
          : COPY_ARCHIVE,
      }),
  })
}

function commandArguments(decompressor: Compressor, threads: number | undefined): string[] {
  switch (decompressor.name) {
    case 'pixz':
      return ['-d', ...(threads === undefined ? [] : ['-p', `${threads}`])]
    case 'xz':
      return ['-dc', ...(usesProcessors(decompressor) ? [`-T${threads ?? 0}`] : [])]
    default:
      return ['-qdc', `--long=${MAX_WINDOW_LOG}`]
  }
}

/** The largest window that zstd can take, as a power of two. */
const MAX_WINDOW_LOG = 31
