import { once } from 'node:events'
import { PassThrough, Transform } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import * as zlib from 'node:zlib'
import { constants, zstdCompressSync } from 'node:zlib'
import t from 'tap'

import { startZstdDecoder } from '../../../../lib/codec/zstd/decoder.ts'
import { withChildren } from '../../../../lib/io/child.ts'
import { sh } from '../../../fixtures/run.ts'
import { pseudoRandom } from '../../../fixtures/sample-layers.ts'
import { chunked, tar } from '../../../fixtures/tar-builder.ts'

const NEVER = new AbortController().signal
const BYTES = tar([
  { path: 'a', content: pseudoRandom('a', 300_000) },
  { path: 'b', content: 'x'.repeat(900_000) },
])

async function decode(archive: Buffer, chunkBytes = 65_536): Promise<Buffer> {
  const child = startZstdDecoder({ archive: 'a.tar.zst' })
  async function feed(): Promise<void> {
    for (const chunk of chunked(archive, chunkBytes)) {
      if (!child.stdin.write(chunk)) await once(child.stdin, 'drain')
    }
    child.stdin.end()
  }
  const work = Promise.all([buffer(child.stdout), feed()])
  const [bytes] = await withChildren([child], NEVER, work)
  return bytes
}

/** What a bash script makes of some bytes. */
async function pipe(script: string, input: Buffer = BYTES): Promise<Buffer> {
  const command = `set -o pipefail; { ${script}; } | base64 -w0`
  return Buffer.from(await sh(command, { input }), 'base64')
}

const SKIPPABLE = "printf '\\x5a\\x2a\\x4d\\x18\\x03\\0\\0\\0abc'"
const COMMANDS = [
  'zstd -qc',
  'zstd -qc -T0',
  'zstd -qc -T2 -19',
  'zstd -qc --ultra -22',
  'zstd -qc -1 --long=27',
  'zstd -qc -1 --long=31',
  'zstd -qc --no-check',
  'zstd -qc --no-content-size',
  `zstd -qc --stream-size=${BYTES.length}`,
  'head -c 1000 | zstd -qc; zstd -qc </dev/null; printf tail | zstd -qc',
  `${SKIPPABLE}; zstd -qc; ${SKIPPABLE}; printf tail | zstd -qc; ${SKIPPABLE}`,
  'split -b 10000 --filter="zstd -qc"',
]

for (const command of COMMANDS) {
  t.test(`startZstdDecoder: ${command}`, async (t) => {
    const archive = await pipe(command)
    const want = await pipe('zstd -dc --long=31', archive)
    t.ok(want.length > 0)
    t.ok((await decode(archive)).equals(want))
    t.ok((await decode(archive, 1021)).equals(want))
  })
}

const CHUNK_BYTES = 128 * 1024
for (const size of [
  0,
  1,
  ...[1, 2, 8].flatMap((n) => [-1, 0, 1].map((d) => n * CHUNK_BYTES + d)),
]) {
  t.test(`startZstdDecoder: ${size} bytes`, async (t) => {
    for (const content of [pseudoRandom('size', size), Buffer.alloc(size)]) {
      t.ok((await decode(zstdCompressSync(content))).equals(content))
    }
    const short = zstdCompressSync(Buffer.alloc(size, 'ab'))
    t.ok((await decode(short, 1)).equals(Buffer.alloc(size, 'ab')))
  })
}

t.test('startZstdDecoder: it writes to another output, which stays open', async (t) => {
  const output = new PassThrough()
  const bytes = buffer(output)
  const child = startZstdDecoder({ archive: 'a', output })
  child.stdin.end(zstdCompressSync(BYTES))
  await child.exited
  output.end('tail')
  t.ok((await bytes).equals(Buffer.concat([BYTES, Buffer.from('tail')])))
})

const SUMMED = zstdCompressSync(BYTES, { params: { [constants.ZSTD_c_checksumFlag]: 1 } })
const FIRST = zstdCompressSync(Buffer.from('first'))

function changed(archive: Buffer, at: number): Buffer {
  const copy = Buffer.from(archive)
  copy[at] = (copy[at] ?? 0) ^ 1
  return copy
}

// what, the archive, what is told
const DAMAGES: [string, Buffer, RegExp][] = [
  ['nothing', Buffer.alloc(0), /^at byte 0: got the end, want a frame$/],
  ['no archive', Buffer.from('no archive'), /^at byte 0: frame: got 6e6f2061, want 28b52ffd$/],
  ['cut off', SUMMED.subarray(0, 200_000), /^at byte 200000: got the end/],
  ['cut off by a byte', SUMMED.subarray(0, -1), /^at byte \d+: got the end/],
  ['bytes after the end', Buffer.concat([SUMMED, Buffer.alloc(4)]), /^at byte \d+: frame: got 0{8}/],
  ['a bit changed in a raw block', changed(SUMMED, 100_000), /^in the frame at byte 0: \w+/],
  ['a bit changed in the checksum', changed(SUMMED, SUMMED.length - 1), /^in the frame at byte 0: \w+/],
  ['the second frame', Buffer.concat([FIRST, changed(SUMMED, 100_000)]), /^in the frame at byte 14: \w+/],
] // prettier-ignore

for (const [what, archive, told] of DAMAGES) {
  t.test(`startZstdDecoder: bad: ${what}`, async (t) => {
    const failure = await decode(archive).catch((error: unknown) => error)
    t.match(failure, {
      code: 'BAD_ARCHIVE',
      message: /^decompress "a.tar.zst": /,
      hint: 'it is damaged or was cut off: copy it again from where it was made',
    })
    t.match(String(failure).replace('ToolError: decompress "a.tar.zst": ', ''), told)
  })
}

t.test('startZstdDecoder: what is before a fault comes out', async (t) => {
  const child = startZstdDecoder({ archive: 'a' })
  const parts: Buffer[] = []
  child.stdout.on('data', (part: Buffer) => parts.push(part))
  child.stdin.end(Buffer.concat([FIRST, Buffer.from('no frame')]))
  await t.rejects(child.exited, { message: /^decompress "a": at byte 14: / })
  t.equal(Buffer.concat(parts).toString(), 'first')
})

t.test('startZstdDecoder: thousands of frames', async (t) => {
  const content = Buffer.from(await sh('seq 1000'))
  const frame = zstdCompressSync(content)
  const archive = Buffer.concat(Array.from({ length: 5000 }, () => frame))
  const before = process.memoryUsage().rss
  const child = startZstdDecoder({ archive: 'a' })
  child.stdin.end(archive)
  let sizeBytes = 0
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) sizeBytes += chunk.length
  t.equal(sizeBytes, 5000 * content.length)
  const grownMib = (process.memoryUsage().rss - before) / 2 ** 20
  t.ok(grownMib < 150, `${Math.round(grownMib)} MiB more`)
})

// 2 GiB in 64 KiB, of which nobody takes more than the beginning.
t.test('startZstdDecoder: it waits for who reads', async (t) => {
  const run = Buffer.from('02001061', 'hex')
  const bomb = Buffer.concat([
    Buffer.from('28b52ffd0038', 'hex'),
    ...Array.from({ length: 16_383 }, () => run),
    Buffer.from('03001061', 'hex'),
  ])
  const child = startZstdDecoder({ archive: 'a' })
  child.stdin.end(bomb)
  const before = process.memoryUsage().rss
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    t.equal(chunk.at(0), 0x61)
    await new Promise((resolve) => setTimeout(resolve, 300))
    break
  }
  t.ok(process.memoryUsage().rss - before < 100 * 2 ** 20)
  child.kill()
  await child.exited.catch(() => {})
})

t.test('startZstdDecoder: it is ended half way', async (t) => {
  const stop = new AbortController()
  const child = startZstdDecoder({ archive: 'a' })
  child.stdin.write(SUMMED.subarray(0, 290_000))
  child.stdout.once('data', () => stop.abort())
  const work = buffer(child.stdout)
  await t.rejects(withChildren([child], stop.signal, work), { code: 'INTERRUPTED' })
})

t.test('startZstdDecoder: no memory for its window is told as that', async (t) => {
  const noMemory = Object.assign(new Error('Allocation error : not enough memory'), {
    code: 'ZSTD_error_memory_allocation',
  })
  const { startZstdDecoder: start } = await t.mockImport<
    typeof import('../../../../lib/codec/zstd/decoder.ts')
  >('../../../../lib/codec/zstd/decoder.ts', {
    'node:zlib': {
      ...zlib,
      zstdDecompressSync: () => {
        throw noMemory
      },
      createZstdDecompress: () => new Transform({ transform: (_, __, done) => done(noMemory) }),
    },
  })
  const child = start({ archive: 'a' })
  child.stdin.end(FIRST)
  child.stdout.resume()
  await t.rejects(child.exited, { code: 'BAD_ARCHIVE', hint: /^its window is larger than/ })
})
