// Headers, indexes and footers of real archives, and what is wrong with bad ones.
import { crc32 } from 'node:zlib'
import t from 'tap'

import {
  checkIndex,
  frameBlock,
  padded,
  readRecords,
} from '../../../../lib/codec/xz/block-index.ts'
import { parseFooter, parseHeader } from '../../../../lib/codec/xz/header.ts'
import { pixz, places, sampleBytes, unxz, xz } from '../../../fixtures/xz-archives.ts'

const PLACE = { archive: 'a.tar.xz', offsetBytes: 7 }
const BLOCK = 4096

const SAMPLES: [string, Buffer, number][] = [
  ['xz without a check', xz(sampleBytes(100), '-C', 'none'), 0],
  ['xz with CRC32', xz(sampleBytes(100), '-C', 'crc32'), 1],
  ['xz with CRC64', xz(sampleBytes(100)), 4],
  ['xz with SHA-256', xz(sampleBytes(100), '-C', 'sha256'), 10],
  ['pixz', pixz(sampleBytes(100)), 1],
]

for (const [name, archive, check] of SAMPLES) {
  t.test(`parse: header and footer of ${name}`, async (t) => {
    const { index, footer } = await places(archive)
    t.equal(parseHeader(archive.subarray(0, 12), PLACE), check)
    t.strictSame(parseFooter(archive.subarray(-12), PLACE), { check, indexBytes: footer - index })
  })
}

const SIZES = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 200 * BLOCK]

for (const size of SIZES) {
  t.test(`readRecords: of ${size} bytes in blocks of ${BLOCK}`, async (t) => {
    const bytes = sampleBytes(size)
    const archive = xz(bytes, `--block-size=${BLOCK}`)
    const { blocks: start, index: indexAt, footer } = await places(archive)
    const index = archive.subarray(indexAt, footer)
    const records = [...readRecords(index, PLACE)]
    t.strictSame(checkIndex(index, PLACE), {
      blocks: Math.ceil(size / BLOCK),
      blocksBytes: indexAt - start,
    })
    let at = start
    let done = 0
    for (const record of records) {
      const { head, tail } = frameBlock(4, record)
      const end = at + padded(record.unpaddedBytes)
      const alone = unxz(Buffer.concat([head, archive.subarray(at, end), tail]))
      t.ok(alone?.equals(bytes.subarray(done, done + record.sizeBytes)), 'each block on its own')
      at = end
      done += record.sizeBytes
    }
    t.strictSame([at, done], [indexAt, size])
  })
}

function withSum(body: number[]): Buffer {
  const bytes = Buffer.alloc(body.length + 4)
  bytes.set(body)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, -4)), body.length)
  return bytes
}

const HUGE = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]
const PETA = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 4]
const INDEXES: [string, Buffer, RegExp][] = [
  ['with another indicator', withSum([1, 0, 0, 0]), /index: got indicator 1, want 0$/],
  ['of nothing', withSum([]), /index: got indicator undefined, want 0$/],
  ['with a record less', withSum([0, 2, 9, 1]), /index: it ends within a number$/],
  ['with a record more', withSum([0, 1, 9, 1, 9, 1, 0, 0]), /index: it holds more than/],
  ['with too much padding', withSum([0, 1, 9, 1, 0, 0, 0, 0]), /index: it holds more than/],
  ['with a block of no bytes', withSum([0, 1, 4, 1]), /block 1: got 4 bytes, want more$/],
  ['with a number too long', withSum([0, 0x80, 0, 0]), /not written as it should be$/],
  [
    'with a number that never ends',
    withSum(Array<number>(12).fill(0x80)),
    /it should be$|indicator/,
  ],
  [
    'with a number of 10 bytes',
    withSum([0, 1, ...HUGE.slice(0, 8), 0xff, 1, 0]),
    /as it should be$/,
  ],
  ['of more blocks than numbers', withSum([0, ...HUGE]), /it claims \S+ blocks or bytes, more/],
  [
    'whose sum is more than numbers',
    withSum([0, 9, ...Array.from({ length: 9 }, () => [9, ...PETA]).flat()]),
    /index: it claims more bytes than there can be$/,
  ],
]

for (const [name, index, want] of INDEXES) {
  t.test(`checkIndex: an index ${name}`, async (t) => {
    t.throws(() => checkIndex(index, PLACE), {
      code: 'BAD_ARCHIVE',
      message: want,
      hint: 'it is damaged or was cut off: copy it again from where it was made',
    })
    t.throws(() => checkIndex(index, PLACE), {
      message: /^decompress "a.tar.xz": at byte 7: index/,
    })
  })
}

t.test('checkIndex: a petabyte is a number as any other', async (t) => {
  const index = withSum([0, 1, 9, ...PETA])
  t.strictSame(checkIndex(index, PLACE), { blocks: 1, blocksBytes: 12 })
  t.strictSame([...readRecords(index, PLACE)], [{ unpaddedBytes: 9, sizeBytes: 2 ** 51 }])
})

const ARCHIVE = xz(sampleBytes(10))

t.test('parse: every changed byte is seen', async (t) => {
  const { index, footer } = await places(ARCHIVE)
  const parts: [number, number, (bytes: Buffer) => unknown][] = [
    [0, 12, (bytes) => parseHeader(bytes, PLACE)],
    [index, footer, (bytes) => checkIndex(bytes, PLACE)],
    [footer, ARCHIVE.length, (bytes) => parseFooter(bytes, PLACE)],
  ]
  for (const [start, end, parse] of parts) {
    const part = Buffer.from(ARCHIVE.subarray(start, end))
    parse(part)
    for (let at = 0; at < part.length; at++) {
      part[at] = (part[at] ?? 0) ^ 1
      t.throws(() => parse(part), { code: 'BAD_ARCHIVE' }, `byte ${start + at}`)
      part[at] = (part[at] ?? 0) ^ 1
    }
  }
})

for (const [flags, got] of [
  [[0, 2], '0002'],
  [[0, 0x14], '0014'],
  [[1, 4], '0104'],
] as const) {
  t.test(`parseHeader: flags ${got}`, async (t) => {
    const header = Buffer.from(ARCHIVE.subarray(0, 12))
    header.set(flags, 6)
    header.writeUInt32LE(crc32(header.subarray(6, 8)), 8)
    t.throws(() => parseHeader(header, PLACE), {
      message: `decompress "a.tar.xz": at byte 7: stream header: got flags ${got}, want 0000, 0001, 0004 or 000a: unknown check`,
    })
  })
}
