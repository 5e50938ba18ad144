// Compressed layers decompressed while their tar goes past: a manifest names the
// compressed bytes, and only these tell whether they are the layer that the config
// names. Memory is bounded: whoever reads the tar waits for the decoders.
import { toDigest } from '../image/digest.ts'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import { pipeline } from 'node:stream/promises'

import { endChildren, startChild, type Task } from '../io/child.ts'
import { ToolError } from '../core/errors.ts'
import { SAVE_AGAIN } from '../core/hints.ts'
import { compressionOf, type Compression } from '../codec/detect.ts'
import { decodeLayer } from '../image/uncompress/layer-decoder.ts'
import type { PlainLayer } from '../image/uncompress/layers.ts'
import { START_BYTES, type DecodedLayers, type MemberTap } from '../tar/digest.ts'
import type { TarMember } from '../tar/parser.ts'

/** Layers being decompressed beside a digest of their tar. */
export interface LayerVerifier extends MemberTap {
  /** @returns what to wait for before the next chunk, if anything. */
  ready(): Promise<unknown> | undefined
  /** @returns what came of all that may be compressed layers. */
  end(): Promise<DecodedLayers>
  /** Ends what is not done, and waits for its end. */
  stop(): Promise<void>
}

interface Decoding {
  readonly input: PassThrough
  readonly done: Promise<PlainLayer | ToolError>
}

const KEPT_BYTES = 256 * 1024
// More than any image has.
const MAX_LAYERS = 10_000

/** @returns what decompresses the layers of one tar */
export function createLayerVerifier(): LayerVerifier {
  const programs: Task[] = []
  const decoded = new Map<string, PlainLayer | ToolError>()
  const pending = new Set<Promise<unknown>>()
  let path: string | undefined
  let start: Buffer | undefined
  const open = new Set<Decoding>()
  let current: Decoding | undefined

  function begin(bytes: Buffer): void {
    start = undefined
    const compression = compressionOf(bytes)
    if (!compression || path === undefined) return
    const input = new PassThrough({ highWaterMark: KEPT_BYTES })
    // A decoder that gives up closes it.
    input.on('error', () => {})
    const done = decode(input, compression, path, programs)
    const decoding = { input, done }
    open.add(decoding)
    void done.finally(() => open.delete(decoding))
    current = decoding
    feed(decoding, bytes)
  }
  function feed({ input, done }: Decoding, bytes: Buffer): void {
    if (input.destroyed || input.write(bytes)) return
    wait(Promise.race([done, once(input, 'drain')]))
  }
  function wait(work: Promise<unknown>): void {
    const waiting = work.catch(() => {}).finally(() => pending.delete(waiting))
    pending.add(waiting)
  }
  return {
    member({ path: name, type, sparse }: TarMember) {
      // By any name: a link with the name of a layer may lead to it.
      path = type === '0' && !sparse && decoded.size < MAX_LAYERS ? name : undefined
      start = path === undefined ? undefined : Buffer.alloc(0)
    },
    content(bytes) {
      if (current) feed(current, bytes)
      else if (start) {
        start = Buffer.concat([start, bytes])
        if (start.length >= START_BYTES) begin(start)
      }
    },
    memberEnd(sha256) {
      if (!current) return
      const { input, done } = current
      current = undefined
      input.end()
      wait(done.then((plain) => decoded.set(toDigest(sha256), plain)))
    },
    ready: () => (pending.size > 0 ? Promise.all(pending) : undefined),
    async end() {
      await Promise.all(pending)
      return decoded
    },
    async stop() {
      const left = [...open]
      for (const { input } of left) input.destroy()
      await endChildren(programs)
      await Promise.all(left.map(({ done }) => done))
    },
  }
}

// What is no layer may begin like something compressed: an error counts for layers only.
async function decode(
  input: PassThrough,
  compression: Compression,
  path: string,
  programs: Task[],
): Promise<PlainLayer | ToolError> {
  const hash = createHash('sha256')
  let sizeBytes = 0
  try {
    const isOwn = compression === 'gzip' || compression === 'zstd'
    const plain = isOwn
      ? decodeLayer(input, path)
      : decodeByProgram(input, compression, path, programs)
    for await (const chunk of plain) {
      hash.update(chunk)
      sizeBytes += chunk.length
    }
    return { digest: toDigest(hash.digest('hex')), sizeBytes }
  } catch (error) {
    if (error instanceof ToolError) return error
    return new ToolError('BAD_IMAGE', `decompress layer "${path}"`, { cause: error })
  } finally {
    input.destroy()
  }
}

async function* decodeByProgram(
  input: PassThrough,
  program: string,
  path: string,
  programs: Task[],
): AsyncGenerator<Buffer> {
  const child = startChild(program, ['-dc'], {
    toError: (stderr) => {
      const code = stderr.includes('ENOENT') ? 'NO_COMPRESSOR' : 'BAD_IMAGE'
      return new ToolError(code, `decompress layer "${path}": ${program}: ${stderr}`, {
        hint: SAVE_AGAIN,
      })
    },
  })
  programs.push(child)
  const feeding = pipeline(input, child.stdin)
  feeding.catch(() => {})
  try {
    yield* child.stdout as AsyncIterable<Buffer>
  } finally {
    await child.exited
  }
}
