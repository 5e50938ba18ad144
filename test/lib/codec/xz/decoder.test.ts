// Archives as the real programs make them, through the decoder: it gives what
// they give, and of bad ones an error that says where.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { Worker } from 'node:worker_threads'
import { crc32 } from 'node:zlib'
import t from 'tap'

import { startXzDecoder } from '../../../../lib/codec/xz/decoder.ts'
import { archiveAt } from '../../../../lib/io/archive-file.ts'
import { withChildren } from '../../../../lib/io/child.ts'
import { pixz, places, sampleBytes, unxz, xz } from '../../../fixtures/xz-archives.ts'
import { decode } from '../../../fixtures/xz-decoding.ts'

const BLOCK = 4096
const SMALL = sampleBytes(3 * BLOCK + 5)
const LARGE = sampleBytes(2 * 1024 ** 2 + 7)
const PADDING = Buffer.alloc(4096)

const ARCHIVES: [string, Buffer][] = [
  ['pixz', pixz(LARGE)],
  ['pixz -1', pixz(SMALL, '-1')],
  ['xz -T1', xz(LARGE, '-T1')],
  ['xz -T4', xz(LARGE, '-T4', '-0')],
  ['xz -9e', xz(SMALL, '-9e')],
  ['xz --block-size', xz(LARGE, '-0', '--block-size=300000')],
  ['xz with another filter', xz(LARGE, '--x86', '--delta=dist=2', '--lzma2=preset=1')],
  ...['none', 'crc32', 'crc64', 'sha256'].map((check): [string, Buffer] => [
    `xz with ${check}`,
    xz(SMALL, '-C', check, `--block-size=${BLOCK}`),
  ]),
  [
    'large dictionaries, by one chain of filters and another',
    Buffer.concat([
      xz(SMALL, '--lzma2=dict=160MiB'),
      xz(SMALL, '--delta=dist=4', '--arm', '--lzma2=dict=160MiB'),
      xz(SMALL, '--lzma2=dict=192MiB'),
    ]),
  ],
  [
    'streams one after the other, with padding between',
    Buffer.concat([xz(SMALL), PADDING, pixz(SMALL), xz(Buffer.alloc(0)), PADDING]),
  ],
]

for (const [name, archive] of ARCHIVES) {
  t.test(`decode: ${name}`, async (t) => {
    const want = unxz(archive)
    for (const threads of [1, 2, 5]) {
      const got = await decode(join(t.testdir(), 'a.xz'), archive, { threads })
      t.ok(want?.equals(got), `${threads} threads`)
    }
  })
}

for (const size of [0, 1, BLOCK - 1, BLOCK, BLOCK + 1]) {
  t.test(`decode: ${size} bytes in blocks of ${BLOCK}`, async (t) => {
    const bytes = sampleBytes(size)
    const archive = xz(bytes, `--block-size=${BLOCK}`)
    for (const chunkBytes of [1, 7, 65536]) {
      const got = await decode(join(t.testdir(), 'a.xz'), archive, { chunkBytes })
      t.ok(got.equals(bytes), `chunks of ${chunkBytes}`)
    }
  })
}

t.test('decode: parts of several files, to another output', async (t) => {
  const dir = t.testdir()
  const [one, two] = [xz(SMALL), xz(LARGE, '-0')]
  await writeFile(join(dir, 'one'), Buffer.concat([two, one, PADDING]))
  await writeFile(join(dir, 'two'), two)
  const output = new PassThrough()
  const child = startXzDecoder({
    parts: [
      { file: archiveAt(join(dir, 'one')), offsetBytes: two.length, sizeBytes: one.length },
      { file: archiveAt(join(dir, 'two')), offsetBytes: 0, sizeBytes: two.length },
    ],
    threads: undefined,
    output,
  })
  const got = buffer(output)
  await pipeline([one, two], child.stdin)
  await child.exited
  output.end('end')
  t.ok((await got).equals(Buffer.concat([SMALL, LARGE, Buffer.from('end')])))
})

t.test('decode: blocks too large to be held, with a note', async (t) => {
  const bytes = sampleBytes(10 * 1024 ** 2)
  const [small, large] = [xz(SMALL), xz(bytes, '-0')]
  const archive = Buffer.concat([small, large, large, small])
  const notes: string[] = []
  const how = { maxBlockBytes: 1024 ** 2, onDegraded: (reason: string) => notes.push(reason) }
  const got = await decode(join(t.testdir(), 'a.xz'), archive, how)
  t.ok(got.equals(Buffer.concat([SMALL, bytes, bytes, SMALL])))
  t.strictSame(notes, ['"a.xz" has a block of 10.5 MB: only one processor can decompress it'])

  const alone = await decode(join(t.testdir(), 'a.xz'), archive, { ...how, threads: 1 })
  t.ok(alone.equals(got))
  t.equal(notes.length, 1, 'none where there is only one thread anyway')
})

t.test('decode: all of it one block, with a note where that takes long', async (t) => {
  const bytes = Buffer.alloc(40 * 1024 ** 2)
  const notes: string[] = []
  const how = { onDegraded: (reason: string) => notes.push(reason) }
  const [one, two] = [xz(bytes, '-0', '-T1'), xz(bytes, '-0', '-T2')]
  for (const archive of [xz(SMALL), two, Buffer.concat([one, one])]) {
    await decode(join(t.testdir(), 'a.xz'), archive, how)
  }
  t.strictSame(notes, [])
  t.ok((await decode(join(t.testdir(), 'a.xz'), one, how)).equals(bytes))
  t.strictSame(notes, ['"a.xz" has a block of 41.9 MB: only one processor can decompress it'])
})

const TINY = xz(sampleBytes(40))

t.test('decode: cut off at every place', async (t) => {
  const path = join(t.testdir(), 'a.xz')
  for (let length = 0; length < TINY.length; length++) {
    const cut = TINY.subarray(0, length)
    await t.rejects(decode(path, cut), { code: 'BAD_ARCHIVE' }, `the file at ${length}`)
    if (length % 3 !== 0) continue
    const decoding = decode(path, TINY, { fed: cut })
    await t.rejects(decoding, { code: 'BAD_ARCHIVE' }, `what is read of it at ${length}`)
  }
  await t.rejects(decode(path, TINY, { fed: Buffer.concat([TINY, Buffer.of(0)]) }), {
    code: 'BAD_ARCHIVE',
    message: /got more bytes than when its index was read$/,
  })
})

t.test('decode: one byte changed at every place', async (t) => {
  const path = join(t.testdir(), 'a.xz')
  for (let at = 0; at < TINY.length; at++) {
    const changed = Buffer.from(TINY)
    changed[at] = (changed[at] ?? 0) ^ 0x41
    await t.rejects(decode(path, changed), { code: 'BAD_ARCHIVE' }, `of the file, at ${at}`)
    // What comes is looked at by the same code as what the file has.
    if (at % 4 > 0) continue
    await t.rejects(
      decode(path, TINY, { fed: changed }),
      { code: 'BAD_ARCHIVE' },
      `after, at ${at}`,
    )
  }
})

t.test('decode: a bad block, told with its place, after what is before it', async (t) => {
  const archive = xz(LARGE, '-0', '--block-size=1048576')
  const { index } = await places(archive)
  const changed = Buffer.from(archive)
  const at = index >> 1
  changed[at] = (changed[at] ?? 0) ^ 0xff
  const path = join(t.testdir(), 'a.tar.xz')
  await writeFile(path, changed)
  const parts = [{ file: archiveAt(path), offsetBytes: 0, sizeBytes: changed.length }]
  const child = startXzDecoder({ parts, threads: 2 })
  let gotBytes = 0
  child.stdout.on('data', (chunk: Buffer) => (gotBytes += chunk.length))
  await pipeline([changed], child.stdin).catch(() => {})
  await t.rejects(child.exited, {
    code: 'BAD_ARCHIVE',
    message:
      /^decompress "a\.tar\.xz": at byte \d+: block 2: its data are corrupt: they do not fit its check sum, its header or the index$/,
    hint: 'it is damaged or was cut off: copy it again from where it was made',
  })
  t.ok(gotBytes >= 1024 ** 2)
})

// With a filter that no version knows, and a check sum that fits.
function unknownFilter(): Buffer {
  const archive = Buffer.from(TINY)
  const header = archive.subarray(12, 12 + ((archive[12] ?? 0) + 1) * 4)
  header[header.indexOf(0x21)] = 0x3f
  header.writeUInt32LE(crc32(header.subarray(0, -4)), header.length - 4)
  return archive
}

const UNSUPPORTED: [string, Buffer, RegExp, RegExp][] = [
  [
    'a dictionary of 512 MiB',
    xz(Buffer.alloc(10), '--lzma2=dict=512MiB'),
    /: at byte 12: block 1: its dictionary is larger than 192 MiB, and that is not supported here$/,
    /^install xz or pixz/,
  ],
  [
    'an unknown filter',
    unknownFilter(),
    /: at byte 12: block 1: it has an unknown filter or unknown options$/,
    /^a newer xz may know it/,
  ],
]

for (const [name, archive, message, hint] of UNSUPPORTED) {
  t.test(`decode: ${name}`, async (t) => {
    await t.rejects(decode(join(t.testdir(), 'a.xz'), archive), {
      code: 'BAD_ARCHIVE',
      message,
      hint,
    })
  })
}

t.test('decode: a file that is not there', async (t) => {
  const parts = [{ file: archiveAt(join(t.testdir(), 'none')), offsetBytes: 0, sizeBytes: 1 }]
  const child = startXzDecoder({ parts, threads: 1 })
  child.stdin.on('error', () => {})
  child.stdout.resume()
  await t.rejects(child.exited, { code: 'ENOENT' })
})

t.test('decode: a file that is shorter than its part', async (t) => {
  const path = join(t.testdir(), 'a.xz')
  await writeFile(path, TINY)
  const child = startXzDecoder({
    parts: [{ file: archiveAt(path), offsetBytes: 0, sizeBytes: 200 }],
    threads: 1,
  })
  child.stdin.on('error', () => {})
  child.stdout.resume()
  await t.rejects(child.exited, { message: /at byte \d+: it ends here$/ })
})

t.test('decode: ended half way', async (t) => {
  const archive = xz(sampleBytes(10 * 1024 ** 2), '-0', '--block-size=1048576')
  const path = join(t.testdir(), 'a.xz')
  await writeFile(path, archive)
  const parts = [{ file: archiveAt(path), offsetBytes: 0, sizeBytes: archive.length }]
  for (const maxBlockBytes of [undefined, 4096]) {
    const child = startXzDecoder({ parts, threads: 2, maxBlockBytes })
    const stop = new AbortController()
    child.stdout.once('data', () => stop.abort())
    const work = pipeline([archive.subarray(0, -1)], child.stdin)
    await t.rejects(withChildren([child], stop.signal, work), { code: 'INTERRUPTED' })
  }
})

t.test('decode: an input that breaks', async (t) => {
  const path = join(t.testdir(), 'a.xz')
  await writeFile(path, TINY)
  const child = startXzDecoder({
    parts: [{ file: archiveAt(path), offsetBytes: 0, sizeBytes: TINY.length }],
    threads: 1,
  })
  child.stdout.resume()
  child.stdin.on('error', () => {})
  child.stdin.write(TINY.subarray(0, 30))
  child.stdin.destroy(new Error('it broke'))
  await t.rejects(child.exited, { message: 'it broke' })
})

const BROKEN: [string, string, { message: string | RegExp; cause?: Error }][] = [
  ['ends', 'process.exit(3)', { message: 'decompress: a thread ended with 3' }],
  ['throws', 'throw new Error("oh")', { message: /thread ended/, cause: new Error('oh') }],
]

for (const [name, source, want] of BROKEN) {
  t.test(`decode: a thread that ${name}`, async (t) => {
    const { startXzDecoder: start } = await t.mockImport<
      typeof import('../../../../lib/codec/xz/decoder.ts')
    >('../../../../lib/codec/xz/decoder.ts', {
      'node:worker_threads': {
        Worker: function Thread() {
          return new Worker(source, { eval: true })
        },
      },
    })
    const path = join(t.testdir(), 'a.xz')
    await writeFile(path, TINY)
    const child = start({
      parts: [{ file: archiveAt(path), offsetBytes: 0, sizeBytes: TINY.length }],
      threads: 1,
    })
    child.stdout.resume()
    child.stdin.on('error', () => {})
    child.stdin.end(TINY)
    await t.rejects(child.exited, want)
  })
}

t.test('decode: zeros after a stream that are none any more', async (t) => {
  const archive = Buffer.concat([TINY, Buffer.alloc(8), TINY])
  const fed = Buffer.from(archive)
  fed[TINY.length + 5] = 1
  await t.rejects(decode(join(t.testdir(), 'a.xz'), archive, { fed }), {
    code: 'BAD_ARCHIVE',
    message: /it is no longer what was read there before$/,
  })
})
