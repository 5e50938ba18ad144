import { constants, zstdCompressSync } from 'node:zlib'
import t from 'tap'

import { FrameSplitter } from '../../../../lib/codec/zstd/frames.ts'
import { pseudoRandom } from '../../../fixtures/sample-layers.ts'
import { chunked } from '../../../fixtures/tar-builder.ts'

interface Frame {
  readonly offsetBytes: number
  readonly bytes: Buffer
}

function split(archive: Buffer, chunkBytes = archive.length): Frame[] {
  const splitter = new FrameSplitter('a.tar.zst')
  const frames: Frame[] = []
  let parts: Buffer[] = []
  for (const chunk of chunked(archive, chunkBytes)) {
    for (const { offsetBytes, bytes, isLast } of splitter.write(chunk)) {
      parts.push(bytes)
      if (!isLast) continue
      frames.push({ offsetBytes, bytes: Buffer.concat(parts) })
      parts = []
    }
  }
  splitter.end()
  return frames
}

function skippable(sizeBytes: number, kind = 0): Buffer {
  const header = Buffer.alloc(8)
  header.writeUInt32LE(0x184d2a50 + kind)
  header.writeUInt32LE(sizeBytes, 4)
  return Buffer.concat([header, Buffer.alloc(sizeBytes, 'x')])
}

function compress(content: Buffer, options: Record<number, number> = {}): Buffer {
  return zstdCompressSync(content, { params: options })
}

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')

const { ZSTD_c_checksumFlag: CHECKSUM, ZSTD_c_contentSizeFlag: CONTENT_SIZE } = constants
const PARTS: readonly { readonly bytes: Buffer; readonly isFrame: boolean }[] = [
  ...[0, 1, 255, 256, 65_791, 65_792, 131_072, 131_073, 300_000].flatMap((size) => [
    { bytes: compress(pseudoRandom('part', size)), isFrame: true },
    { bytes: compress(Buffer.alloc(size, 'text '), { [CHECKSUM]: 1 }), isFrame: true },
    { bytes: compress(pseudoRandom('part', size), { [CONTENT_SIZE]: 0 }), isFrame: true },
  ]),
  { bytes: skippable(0), isFrame: false },
  { bytes: skippable(1000, 15), isFrame: false },
  { bytes: hex('28b52ffd 00 58 010000'), isFrame: true },
  { bytes: skippable(3), isFrame: false },
]
const ARCHIVE = Buffer.concat(PARTS.map(({ bytes }) => bytes))

for (const chunkBytes of [1, 2, 3, 4, 5, 7, 100, 131_072, ARCHIVE.length]) {
  t.test(`write: chunks of ${chunkBytes} bytes`, async (t) => {
    const frames = split(ARCHIVE, chunkBytes)
    const wanted = PARTS.filter(({ isFrame }) => isFrame)
    t.equal(frames.length, wanted.length)
    for (const [n, { offsetBytes, bytes }] of frames.entries()) {
      t.ok(wanted[n]?.bytes.equals(bytes))
      t.ok(ARCHIVE.subarray(offsetBytes).subarray(0, bytes.length).equals(bytes))
    }
  })
}

t.test('write: no more than a magic number is held back', async (t) => {
  const splitter = new FrameSplitter('a')
  let lag = 0
  let most = 0
  for (const chunk of chunked(compress(pseudoRandom('part', 200_000)), 1)) {
    lag += chunk.length
    for (const { bytes } of splitter.write(chunk)) lag -= bytes.length
    most = Math.max(most, lag)
  }
  t.strictSame([lag, most], [0, 4])
})

t.test('write: what is before a fault comes before its error', async (t) => {
  const pieces = new FrameSplitter('a').write(
    Buffer.concat([compress(Buffer.from('good')), Buffer.from('bad.')]),
  )
  t.match(pieces.next().value, { offsetBytes: 0, isLast: true })
  t.throws(() => pieces.next(), { code: 'BAD_ARCHIVE', message: /^decompress "a": at byte \d+: / })
})

// bytes after the magic number, what is told of them
const WINDOWS: [string, string | undefined][] = [
  ['00 00 010000', undefined],
  ['00 a8 010000', undefined],
  ['00 a9 010000', 'at byte 5: window: got 2415919104 bytes, want at most 2147483648'],
  ['00 ff 010000', 'at byte 5: window: got 4123168604160 bytes, want at most 2147483648'],
  ['a0 00000080 010000', undefined],
  ['a0 01000080 010000', 'at byte 5: window: got 2147483649 bytes, want at most 2147483648'],
  ['e0 0000008000000000 010000', undefined],
  ['e0 0100008000000000 010000', 'at byte 5: window: got 2147483649 bytes, want at most 2147483648'],
] // prettier-ignore

for (const [bytes, told] of WINDOWS) {
  t.test(`write: a window is ${told === undefined ? 'taken' : 'refused'}: ${bytes}`, async (t) => {
    const archive = hex(`28b52ffd ${bytes}`)
    if (told === undefined) {
      t.ok(split(archive)[0]?.bytes.equals(archive))
    } else {
      t.throws(() => split(archive), {
        code: 'BAD_ARCHIVE',
        message: `decompress "a.tar.zst": ${told}`,
        hint: 'decompress it where it was made, and compress it again with a window of at most 2 GiB',
      })
    }
  })
}

// what it is, its bytes, what is told
const FAULTS: [string, string, string][] = [
  ['an .xz archive', 'fd377a585a000004', 'at byte 0: frame: got fd377a58, want 28b52ffd'],
  ['after a frame', '28b52ffd 2000 010000 00000000', 'at byte 9: frame: got 00000000, want 28b52ffd'],
  ['after a skippable frame', '5f2a4d18 01000000 ff 602a4d18', 'at byte 9: frame: got 602a4d18, want 28b52ffd'],
  ['a reserved bit', '28b52ffd 08', 'at byte 4: reserved bit: got 1, want 0'],
  ['a dictionary of 1 byte', '28b52ffd 21 0100', 'at byte 5: dictionary: got one that is needed, want none'],
  ['a dictionary of 2 bytes', '28b52ffd 22 000100', 'at byte 5: dictionary: got one that is needed, want none'],
  ['a dictionary of 4 bytes', '28b52ffd 03 58 00000001', 'at byte 5: dictionary: got one that is needed, want none'],
  ['a block type', '28b52ffd 00 58 070000', 'at byte 6: block type: got 3, want at most 2'],
  ['a large block', '28b52ffd 00 58 090010', 'at byte 6: block: got 131073 bytes, want at most 131072'],
  ['a large run', '28b52ffd 00 58 0b0010', 'at byte 6: block: got 131073 bytes, want at most 131072'],
  ['a block above the window', '28b52ffd 00 00 092000', 'at byte 6: block: got 1025 bytes, want at most 1024'],
  ['a block above its segment', '28b52ffd 20 05 310000', 'at byte 6: block: got 6 bytes, want at most 5'],
  ['nothing', '', 'at byte 0: got the end, want a frame'],
  ['nothing but a skippable frame', '502a4d18 01000000 ff', 'at byte 9: got the end, want a frame'],
] // prettier-ignore

for (const [what, bytes, told] of FAULTS) {
  for (const chunkBytes of [1, 100]) {
    t.test(`write, end: ${what}, chunks of ${chunkBytes} bytes`, async (t) => {
      t.throws(() => split(hex(bytes), chunkBytes), {
        code: 'BAD_ARCHIVE',
        message: `decompress "a.tar.zst": ${told}`,
        hint: String,
      })
    })
  }
}

t.test('write: a dictionary of number 0 is none', async (t) => {
  const archive = hex('28b52ffd 23 00000000 01 090000 61')
  t.ok(split(archive)[0]?.bytes.equals(archive))
})

t.test('end: cut off anywhere but between two frames', async (t) => {
  const parts = [
    compress(Buffer.from('first'), { [CHECKSUM]: 1 }),
    skippable(5),
    compress(Buffer.alloc(300, 'second')),
  ]
  const archive = Buffer.concat(parts)
  const [first = 0, second = 0] = parts.map(({ length }) => length)
  for (let sizeBytes = 1; sizeBytes < archive.length; sizeBytes++) {
    const start = archive.subarray(0, sizeBytes)
    if (sizeBytes === first || sizeBytes === first + second) {
      t.equal(split(start).length, 1)
    } else {
      const message = `decompress "a.tar.zst": at byte ${sizeBytes}: got the end, want the rest of a frame`
      t.throws(() => split(start), { code: 'BAD_ARCHIVE', message, hint: /was cut off/ })
    }
  }
})
