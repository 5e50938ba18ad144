// The layout of real archives, and of such as were damaged.
import { crc32 } from 'node:zlib'
import t from 'tap'

import { readLayout } from '../../../../lib/codec/xz/layout.ts'
import {
  layout,
  memorySource,
  pixz,
  places,
  sampleBytes,
  xz,
} from '../../../fixtures/xz-archives.ts'

const SMALL = xz(sampleBytes(10))
const EMPTY = xz(Buffer.alloc(0))
const PADDING = Buffer.alloc(4096)

t.test('readLayout: streams, padding between them and after them', async (t) => {
  const archive = Buffer.concat([
    SMALL,
    EMPTY,
    PADDING,
    pixz(sampleBytes(5000)),
    PADDING,
    PADDING,
    xz(sampleBytes(9000), '--block-size=4096'),
    Buffer.alloc(4),
  ])
  const streams = await layout(archive)
  t.strictSame(
    streams.map(({ blocks, paddingBytes, check }) => [blocks, paddingBytes, check]),
    [
      [1, 0, 4],
      [0, 4096, 4],
      [1, 8192, 1],
      [3, 4, 4],
    ],
  )
  let at = 0
  for (const { offsetBytes, indexOffsetBytes, index, header, footer, paddingBytes } of streams) {
    t.equal(offsetBytes, at)
    t.ok(archive.subarray(at, at + 12).equals(header))
    at = indexOffsetBytes + index.length
    t.ok(archive.subarray(at, at + 12).equals(footer))
    at += 12 + paddingBytes
  }
  t.equal(at, archive.length)
})

t.test('readLayout: part of a file, with nothing read outside of it', async (t) => {
  const archive = Buffer.concat([SMALL, EMPTY, SMALL])
  const range = { offsetBytes: SMALL.length, sizeBytes: EMPTY.length }
  const [stream, ...more] = await readLayout(memorySource(archive, range))
  t.match(stream, { offsetBytes: SMALL.length, blocks: 0 })
  t.strictSame(more, [])
})

t.test('readLayout: cut off anywhere', async (t) => {
  const archive = Buffer.concat([SMALL, PADDING, SMALL])
  for (let length = 0; length < archive.length; length++) {
    const isWhole =
      length >= SMALL.length && length <= SMALL.length + 4096 && (length - SMALL.length) % 4 === 0
    const reading = layout(archive.subarray(0, length))
    if (isWhole) t.equal((await reading).length, 1, `${length}`)
    else await t.rejects(reading, { code: 'BAD_ARCHIVE' }, `${length}`)
  }
})

async function claim(change: (footer: Buffer) => void): Promise<Buffer> {
  const archive = Buffer.from(SMALL)
  const footer = archive.subarray((await places(archive)).footer)
  change(footer)
  footer.writeUInt32LE(crc32(footer.subarray(4, 10)), 0)
  return archive
}

// Of a block of 2^51 bytes, with an index that says so.
function petabytes(): Buffer {
  const index = Buffer.from([0, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 4, 1, 0])
  const sums = Buffer.alloc(16)
  sums.writeUInt32LE(crc32(index), 0)
  sums.writeUInt32LE(index.length / 4, 8)
  sums.writeUInt8(4, 13)
  sums.writeUInt32LE(crc32(sums.subarray(8, 14)), 4)
  sums.write('YZ', 14)
  return Buffer.concat([SMALL.subarray(0, 12), index, sums])
}

const BAD: [string, () => Buffer | Promise<Buffer>, RegExp][] = [
  ['nothing', () => Buffer.alloc(0), /at byte 0: got 0 bytes, want a stream$/],
  ['zeros', () => PADDING, /at byte 0: got 0 bytes, want a stream$/],
  ['text', () => Buffer.from('x'.repeat(99)), /byte 87: stream footer: got 7878, want 595a$/],
  ['padding of 3', () => Buffer.concat([SMALL, Buffer.alloc(3)]), /: got 3 bytes, want a multiple/],
  ['padding at the start', () => Buffer.concat([Buffer.alloc(4), SMALL]), /byte 0: got 0 bytes/],
  ['a byte between', () => Buffer.concat([SMALL, Buffer.of(1), SMALL]), /stream footer: got/],
  ['a byte before', () => Buffer.concat([Buffer.of(1), SMALL]), /byte 0: got 1 bytes, want a str/],
  [
    'an index of 16 GiB',
    () => claim((footer) => footer.writeUInt32LE(0xffffffff, 4)),
    /stream footer: got an index of 17179869184 bytes, want less$/,
  ],
  [
    'an index of 4 bytes',
    () => claim((footer) => footer.writeUInt32LE(0, 4)),
    /index: check sum: got [0-9a-f]{8}, want 00000000$/,
  ],
  [
    'another check in the footer',
    () => claim((footer) => footer.writeUInt8(1, 9)),
    /stream footer: got check 1, want 4$/,
  ],
  ['petabytes', petabytes, /byte 12: index: got 2251799813685248 bytes of blocks, want at most 0$/],
]

for (const [name, make, want] of BAD) {
  t.test(`readLayout: ${name}`, async (t) => {
    await t.rejects(layout(await make()), { code: 'BAD_ARCHIVE', message: want })
  })
}

t.test('readLayout: 100 001 streams are too many', async (t) => {
  const archive = Buffer.concat(Array<Buffer>(100_001).fill(EMPTY))
  await t.rejects(layout(archive), {
    code: 'BAD_ARCHIVE',
    message: /it is in more streams and blocks than are supported here$/,
    hint: 'if it is meant to be so, install xz or pixz, which take it',
  })
})
