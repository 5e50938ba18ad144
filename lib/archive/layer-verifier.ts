// Compressed layers decompressed while their tar goes past: a manifest names the
// compressed bytes, and only these tell whether they are the layer that the config
// names. Memory is bounded: whoever reads the tar waits for the decoders.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import { pipeline } from 'node:stream/promises'

import { compressionOf, type Compression } from '../codec/detect.ts'
import { ToolError } from '../core/errors.ts'
import { SAVE_AGAIN } from '../core/hints.ts'
import { toDigest } from '../image/digest.ts'
import { decodeLayer } from '../image/uncompress/layer-decoder.ts'
import type { PlainLayer } from '../image/uncompress/layers.ts'
import { endChildren, startChild } from '../io/child.ts'
import type { Task } from '../io/task.ts'
import { START_BYTES, type DecodedLayers, type MemberTap } from '../tar/digest.ts'
import type { TarMember } from '../tar/parser.ts'

interface Decoding {
  readonly input: PassThrough
  readonly done: Promise<PlainLayer | ToolError>
}

const KEPT_BYTES = 256 * 1024
// More than any image has.
const MAX_LAYERS = 10_000

/** Decompresses the layers of one tar beside a digest of it. */
export class LayerVerifier implements MemberTap {
  readonly #programs: Task[] = []
  readonly #decoded = new Map<string, PlainLayer | ToolError>()
  readonly #pending = new Set<Promise<unknown>>()
  readonly #open = new Set<Decoding>()
  /** Of the member, if it may be a layer. */
  #path: string | undefined
  /** The first bytes of its content, until they tell how it is compressed. */
  #start: Buffer | undefined
  #current: Decoding | undefined

  member({ path, type, sparse }: TarMember): void {
    // By any name: a link with the name of a layer may lead to it.
    const mayBeLayer = type === '0' && !sparse && this.#decoded.size < MAX_LAYERS
    this.#path = mayBeLayer ? path : undefined
    this.#start = mayBeLayer ? Buffer.alloc(0) : undefined
  }

  content(bytes: Buffer): void {
    if (this.#current) this.#feed(this.#current, bytes)
    else if (this.#start) {
      this.#start = Buffer.concat([this.#start, bytes])
      if (this.#start.length >= START_BYTES) this.#begin(this.#start)
    }
  }

  memberEnd(sha256: string): void {
    if (!this.#current) return
    const { input, done } = this.#current
    this.#current = undefined
    input.end()
    this.#wait(done.then((plain) => this.#decoded.set(toDigest(sha256), plain)))
  }

  /** @returns what to wait for before the next chunk, if anything */
  ready(): Promise<unknown> | undefined {
    return this.#pending.size > 0 ? Promise.all(this.#pending) : undefined
  }

  /** @returns what came of all that may be compressed layers */
  async end(): Promise<DecodedLayers> {
    await Promise.all(this.#pending)
    return this.#decoded
  }

  /** Ends what is not done, and waits for its end. */
  async stop(): Promise<void> {
    const left = [...this.#open]
    for (const { input } of left) input.destroy()
    await endChildren(this.#programs)
    await Promise.all(left.map(({ done }) => done))
  }

  #begin(bytes: Buffer): void {
    this.#start = undefined
    const compression = compressionOf(bytes)
    if (!compression || this.#path === undefined) return
    const input = new PassThrough({ highWaterMark: KEPT_BYTES })
    // A decoder that fails closes its input; the error is in its result.
    input.on('error', () => {})
    const done = decode(input, compression, this.#path, this.#programs)
    const decoding = { input, done }
    this.#open.add(decoding)
    void done.finally(() => this.#open.delete(decoding))
    this.#current = decoding
    this.#feed(decoding, bytes)
  }

  #feed({ input, done }: Decoding, bytes: Buffer): void {
    if (input.destroyed || input.write(bytes)) return
    this.#wait(Promise.race([done, once(input, 'drain')]))
  }

  #wait(work: Promise<unknown>): void {
    const waiting = work.catch(() => {}).finally(() => this.#pending.delete(waiting))
    this.#pending.add(waiting)
  }
}

// A member that is not a layer may begin like compressed data, so an error is only a result. It
// counts if the member is a layer.
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
