import { once } from 'node:events'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import t from 'tap'

import { startZstdDecoder } from '../../../../lib/codec/zstd/decoder.ts'
import { startZstdEncoder } from '../../../../lib/codec/zstd/encoder.ts'
import { FrameSplitter } from '../../../../lib/codec/zstd/frames.ts'
import { withChildren } from '../../../../lib/io/child.ts'
import { hexOf, sha256 } from '../../../fixtures/digest.ts'
import { sh } from '../../../fixtures/run.ts'
import { pseudoRandom } from '../../../fixtures/sample-layers.ts'
import { chunked } from '../../../fixtures/tar-builder.ts'

const NEVER = new AbortController().signal
const MIB = 1024 * 1024
const PIECE_BYTES = 128 * MIB
const OPTIONS = { level: 1, threads: 2, windowLog: 27 }

async function encode(
  content: Buffer,
  options: Partial<typeof OPTIONS> | { threads: undefined } = {},
  chunkBytes = MIB,
): Promise<Buffer> {
  const child = startZstdEncoder({ ...OPTIONS, ...options })
  const out = buffer(child.stdout)
  async function feed(): Promise<void> {
    for (const chunk of chunked(content, chunkBytes)) {
      if (!child.stdin.write(chunk)) await once(child.stdin, 'drain')
    }
    child.stdin.end()
  }
  const [archive] = await withChildren([child], NEVER, Promise.all([out, feed()]))
  return archive
}

async function decode(archive: Buffer): Promise<Buffer> {
  const child = startZstdDecoder({ archive: 'a' })
  child.stdin.end(archive)
  const [content] = await Promise.all([buffer(child.stdout), child.exited])
  return content
}

function frameSizes(archive: Buffer): number[] {
  const sizes: number[] = []
  const splitter = new FrameSplitter('a')
  let sizeBytes = 0
  for (const { bytes, isLast } of splitter.write(archive)) {
    sizeBytes += bytes.length
    if (!isLast) continue
    sizes.push(sizeBytes)
    sizeBytes = 0
  }
  splitter.end()
  return sizes
}

// Every MiB another one, and much that repeats within it.
const CONTENT = Buffer.concat(
  Array.from({ length: 130 }, (_, n) => Buffer.alloc(MIB, pseudoRandom(`part ${n}`, 5000))),
)

// bytes, frames
const SIZES: [number, number][] = [
  [0, 1],
  [1, 1],
  [131_071, 1],
  [131_072, 1],
  [131_073, 1],
  [PIECE_BYTES - 1, 1],
  [PIECE_BYTES, 1],
  [PIECE_BYTES + 1, 2],
]

for (const [size, frames] of SIZES) {
  t.test(`startZstdEncoder: ${size} bytes in ${frames} frames`, async (t) => {
    const content = CONTENT.subarray(0, size)
    const archive = await encode(content)
    t.equal(frameSizes(archive).length, frames)
    t.ok((await decode(archive)).equals(content))
    const digest = await sh('zstd -dc | sha256sum | cut -c-64', { input: archive })
    t.equal(digest, hexOf(sha256(content)), 'zstd reads it without being asked for more memory')
    t.ok(size < 100_000 || archive.length < size / 2)
  })
}

t.test('startZstdEncoder: frames tell their sizes and have checksums', async (t) => {
  const input = await encode(CONTENT.subarray(0, 300_000))
  const file = `${t.testdir({})}/a.zst`
  t.match(
    await sh(`cat >${file}; zstd -lv ${file}`, { input }),
    /Decompressed Size: .*\(300000 B\)[^]*Check: XXH64/,
  )
  input[input.length - 1] = (input.at(-1) ?? 0) ^ 1
  await t.rejects(decode(input), { code: 'BAD_ARCHIVE' })
})

t.test('startZstdEncoder: the same bytes with any number of threads', async (t) => {
  const want = await encode(CONTENT)
  for (const threads of [undefined, 1, 3]) t.ok((await encode(CONTENT, { threads })).equals(want))
})

t.test('startZstdEncoder: the same bytes, however they come', async (t) => {
  const content = CONTENT.subarray(0, PIECE_BYTES + 100)
  const want = await encode(content)
  for (const chunkBytes of [65_537, content.length]) {
    t.ok((await encode(content, {}, chunkBytes)).equals(want))
  }
  const small = CONTENT.subarray(0, 20_000)
  t.ok((await encode(small, {}, 1)).equals(await encode(small)))
})

t.test('startZstdEncoder: what lies far back is found', async (t) => {
  const content = Buffer.concat([
    pseudoRandom('far', MIB),
    Buffer.alloc(40 * MIB),
    pseudoRandom('far', MIB),
  ])
  t.ok((await encode(content)).length < 1.1 * MIB)
  t.ok((await encode(content, { windowLog: 20 })).length > 1.9 * MIB)
})

t.test('startZstdEncoder: a higher level is smaller', async (t) => {
  const text = Buffer.from(await sh('seq 200000'))
  const [fast, small] = [await encode(text), await encode(text, { level: 12 })]
  t.ok(small.length < fast.length)
})

t.test('startZstdEncoder: it is ended half way, and does not go on for long', async (t) => {
  const stop = new AbortController()
  const child = startZstdEncoder({ level: 22, threads: 1, windowLog: 27 })
  async function* endless(): AsyncGenerator<Buffer> {
    for (let n = 0; ; n++) yield CONTENT.subarray((n % 128) * MIB, (n % 128) * MIB + MIB)
  }
  const work = Promise.all([pipeline(endless, child.stdin), buffer(child.stdout)])
  setTimeout(() => stop.abort(), 1500)
  const beganMs = performance.now()
  await t.rejects(withChildren([child], stop.signal, work), { code: 'INTERRUPTED' })
  t.ok(performance.now() - beganMs < 6000, `${Math.round(performance.now() - beganMs)} ms`)
})

t.test('startZstdEncoder: a window that is none is an error', async (t) => {
  const child = startZstdEncoder({ ...OPTIONS, windowLog: 99 })
  child.stdin.end('a')
  child.stdout.resume()
  await t.rejects(child.exited, Error)
})
