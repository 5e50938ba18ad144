// Segments into tar bytes, each by what reads its codec. Which that is, its
// first bytes tell, whatever names and records say.
import { basename } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { Writable } from 'node:stream'

import { createByteTaker } from './byte-taker.ts'
import { endChildren, startChild, type Child } from './child.ts'
import { codecOf, MAGIC_BYTES, type Codec } from './codec.ts'
import { NOISE, programEnvironment } from './compression.ts'
import { usesProcessors, type Compressor, type Decompressors } from './compressor.ts'
import { ToolError } from './errors.ts'
import { readStart, type FileRange } from './file-range.ts'
import { startTransform } from './transform-child.ts'
import { startXzDecoder } from './xz-decoder.ts'
import { startZstdDecoder } from './zstd-decoder.ts'

/** How to decompress. */
export interface DecompressionOptions {
  readonly decompressors: Decompressors
  /** All processors without it. */
  readonly threads?: number | undefined
  /** Another child's stdin, or a socket, to write to. */
  readonly output?: Writable
}

interface Run {
  readonly codec: Codec
  readonly parts: FileRange[]
}

/**
 * @param parts - whose bytes it will get, one after the other
 * @returns a child that turns those bytes into what was compressed
 */
export async function startDecompressor(
  parts: readonly FileRange[],
  options: DecompressionOptions,
): Promise<Child> {
  const runs = await divide(parts)
  const [only] = runs
  if (only && runs.length === 1) return start(only, options)
  return startTransform((chunks) => readRuns(chunks, runs, options), options.output)
}

// What is neither is given to xz, which will say so.
async function divide(parts: readonly FileRange[]): Promise<Run[]> {
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
  const bytes = createByteTaker(chunks)
  for (const run of runs) {
    const sizeBytes = run.parts.reduce((sum, part) => sum + part.sizeBytes, 0)
    const { decompressors, threads } = options
    const child = start(run, { decompressors, threads })
    const feeding = pipeline(() => bytes.take(sizeBytes), child.stdin)
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

function start({ codec, parts }: Run, options: DecompressionOptions): Child {
  const { decompressors, threads, output } = options
  const [path = '', ...others] = new Set(parts.map((part) => part.path))
  // One is known by its name; of several, some may have the same.
  const archive = others.length === 0 ? basename(path) : [path, ...others].join('", "')
  const decompressor = decompressors[codec]
  if (decompressor.name !== 'builtin') return startProgram(decompressor, archive, options)
  const built = { archive, ...(output && { output }) }
  const { onSlow } = decompressors
  return codec === 'xz'
    ? startXzDecoder({ parts, threads, onSlow, ...built })
    : startZstdDecoder(built)
}

function startProgram(
  decompressor: Compressor,
  archive: string,
  { threads, output }: DecompressionOptions,
): Child {
  const { name } = decompressor
  return startChild(name, commandArguments(decompressor, threads), {
    env: programEnvironment(),
    noise: NOISE,
    stdout: output ?? 'pipe',
    explain: (stderr) =>
      new ToolError('BAD_ARCHIVE', `decompress "${archive}": ${name}: ${stderr}`, {
        hint: 'it is damaged or was cut off: copy it again from where it was made',
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
      return ['-qdc', `--long=${MOST_WINDOW_LOG}`]
  }
}

/** More than this no zstd takes. */
const MOST_WINDOW_LOG = 31
