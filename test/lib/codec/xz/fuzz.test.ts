// Damage of every kind: the parser and the decoder say what is
// wrong, and never hang, take much memory or give other bytes.
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import * as fc from 'fast-check'
import t from 'tap'

import { readRecords } from '../../../../lib/codec/xz/block-index.ts'
import { ToolError } from '../../../../lib/core/errors.ts'
import { damaged, type Damage } from '../../../fixtures/damage.ts'
import { layout, pixz, sampleBytes, unxz, xz } from '../../../fixtures/xz-archives.ts'
import { decode } from '../../../fixtures/xz-decoding.ts'

const PARSER_CASES = 20_000
const DECODER_CASES = 60

const SAMPLES = [
  xz(sampleBytes(1)),
  xz(sampleBytes(300), '-C', 'none', '--block-size=64'),
  xz(sampleBytes(5000), '-C', 'sha256', '--block-size=16'),
  pixz(sampleBytes(100)),
  Buffer.concat([xz(Buffer.alloc(0)), Buffer.alloc(8), xz(sampleBytes(40), '-C', 'crc32')]),
]

// Numbers in the index changed, and its check sum made to fit: what would pass
// for true.
const claimIndex: Damage = (bytes, at, value) => {
  const end = bytes.length - 12
  if (end < 20) return bytes
  const start = end - (bytes.readUInt32LE(end + 4) + 1) * 4
  if (start < 12) return bytes
  const place = start + 1 + (at % (end - start - 5))
  bytes[place] = value % 256
  if (value % 2 === 0) bytes.fill(0xff, place, Math.min(place + 8, end - 4))
  bytes.writeUInt32LE(crc32(bytes.subarray(start, end - 4)), end - 4)
  return bytes
}

const claimFooter: Damage = (bytes, at, value) => {
  const footer = bytes.length - 12
  if (footer < 0) return bytes
  bytes.writeUInt32LE(at % 2 === 0 ? value % 64 : value, footer + 4)
  bytes.writeUInt32LE(crc32(bytes.subarray(footer + 4, footer + 10)), footer)
  return bytes
}

const DAMAGED = damaged(SAMPLES, [claimIndex, claimFooter])

// Which error it is, or what the layout says that there is.
async function parse(bytes: Buffer): Promise<string> {
  try {
    let sizeBytes = 0
    for (const { index } of await layout(bytes)) {
      const place = { archive: 'a', offsetBytes: 0 }
      for (const record of readRecords(index, place)) sizeBytes += record.sizeBytes
    }
    return `${sizeBytes} bytes`
  } catch (error) {
    if (error instanceof ToolError && error.code === 'BAD_ARCHIVE') return error.message
    throw error
  }
}

t.test(`fuzz: ${PARSER_CASES} cases for the parser`, async (t) => {
  const kinds = new Map<string, number>()
  let slowestMs = 0
  const property = fc.asyncProperty(DAMAGED, async (bytes) => {
    const start = performance.now()
    const answer = await parse(bytes)
    slowestMs = Math.max(slowestMs, performance.now() - start)
    const kind = answer.replaceAll(/\b[0-9a-f]{2,}\b|\d+/g, 'N')
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
  })
  await fc.assert(property, { numRuns: PARSER_CASES })
  t.ok(slowestMs < 2000, `the slowest took ${slowestMs.toFixed(1)} ms`)
  t.ok(kinds.size > 10, [...kinds].map(([kind, count]) => `${count} ${kind}`).join('\n'))
})

t.test(`fuzz: ${DECODER_CASES} cases for the decoder`, async (t) => {
  const path = join(t.testdir(), 'a.xz')
  let decoded = 0
  const small = fc.constantFrom(undefined, 64)
  const property = fc.asyncProperty(DAMAGED, small, async (bytes, maxBlockBytes) => {
    const want = unxz(bytes)
    const got = await decode(path, bytes, { maxBlockBytes }).catch((error: unknown) => error)
    if (!Buffer.isBuffer(got)) {
      t.match(got, { code: 'BAD_ARCHIVE', message: /: at byte \d+: / })
      // xz refuses it as well.
      return want === undefined
    }
    decoded++
    return want?.equals(got) === true
  })
  const whole = SAMPLES.map((sample): [Buffer, undefined] => [sample, undefined])
  await fc.assert(property, { numRuns: DECODER_CASES, examples: whole })
  t.ok(decoded >= SAMPLES.length, `${decoded} were good`)
})
