// Damage of every kind, by a generator: the parser and the decoder say what is
// wrong, and never hang, take much memory or give other bytes.
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import t from 'tap'

import { ToolError } from '../../../../lib/core/errors.ts'
import { readRecords } from '../../../../lib/codec/xz/block-index.ts'
import { SEED, seededRandom } from '../../../fixtures/seeded-random.ts'
import { layout, pixz, sampleBytes, unxz, xz } from '../../../fixtures/xz-archives.ts'
import { decode } from '../../../fixtures/xz-decoding.ts'

const PARSER_CASES = 100_000
const DECODER_CASES = 120
// A slow machine does what it can in this time.
const DECODER_MS = 45_000

const SAMPLES = [
  xz(sampleBytes(1)),
  xz(sampleBytes(300), '-C', 'none', '--block-size=64'),
  xz(sampleBytes(5000), '-C', 'sha256', '--block-size=16'),
  pixz(sampleBytes(100)),
  Buffer.concat([xz(Buffer.alloc(0)), Buffer.alloc(8), xz(sampleBytes(40), '-C', 'crc32')]),
]

// One of the seeded numbers for each case; the others are cheaper.
function numbers(seed: number): (below: number) => number {
  let state = seed | 1
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

type Random = (below: number) => number

const MUTATIONS: ((bytes: Buffer, random: Random) => Buffer)[] = [
  function flip(bytes, random) {
    const at = random(bytes.length)
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8))
    return bytes
  },
  function overwrite(bytes, random) {
    const at = random(bytes.length)
    bytes.fill(random(2) * 0xff, at, Math.min(bytes.length, at + random(20)))
    return bytes
  },
  function remove(bytes, random) {
    const at = random(bytes.length)
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random(16))])
  },
  function insert(bytes, random) {
    const at = random(bytes.length + 1)
    const added = Buffer.alloc(1 + random(16), random(256))
    return Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(at)])
  },
  function splice(bytes, random) {
    const other = SAMPLES[random(SAMPLES.length)] ?? bytes
    return Buffer.concat([
      bytes.subarray(0, random(bytes.length + 1)),
      other.subarray(random(other.length)),
    ])
  },
  function cut(bytes, random) {
    return bytes.subarray(0, random(bytes.length + 1))
  },
  claimIndex,
  claimFooter,
]

// Numbers in the index changed, and its check sum made to fit: what would pass
// for true.
function claimIndex(bytes: Buffer, random: Random): Buffer {
  const end = bytes.length - 12
  if (end < 20) return bytes
  const start = end - (bytes.readUInt32LE(end + 4) + 1) * 4
  if (start < 12) return bytes
  const at = start + 1 + random(end - start - 5)
  bytes[at] = random(256)
  if (random(2) === 0) bytes.fill(0xff, at, Math.min(at + 8, end - 4))
  bytes.writeUInt32LE(crc32(bytes.subarray(start, end - 4)), end - 4)
  return bytes
}

function claimFooter(bytes: Buffer, random: Random): Buffer {
  const at = bytes.length - 12
  if (at < 0) return bytes
  bytes.writeUInt32LE(random(2) === 0 ? random(64) : random(2 ** 32), at + 4)
  bytes.writeUInt32LE(crc32(bytes.subarray(at + 4, at + 10)), at)
  return bytes
}

function mutate(random: Random): Buffer {
  let bytes: Buffer = Buffer.from(SAMPLES[random(SAMPLES.length)] ?? '')
  for (let count = 1 + random(2); count > 0 && bytes.length > 0; count--) {
    bytes = MUTATIONS[random(MUTATIONS.length)]?.(Buffer.from(bytes), random) ?? bytes
  }
  return bytes
}

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

t.test(`fuzz: ${PARSER_CASES} cases for the parser, seed ${SEED}`, async (t) => {
  const random = numbers(seededRandom('xz parser')(2 ** 32))
  const kinds = new Map<string, number>()
  const slowest = { ms: 0, hex: '' }
  for (let done = 0; done < PARSER_CASES; done++) {
    const bytes = mutate(random)
    const start = performance.now()
    const answer = await parse(bytes).catch((error: unknown) => {
      t.fail(`${bytes.toString('hex')}: ${String(error)}`)
      return 'thrown'
    })
    const ms = performance.now() - start
    if (ms > slowest.ms) Object.assign(slowest, { ms, hex: bytes.toString('hex') })
    const kind = answer.replaceAll(/\b[0-9a-f]{2,}\b|\d+/g, 'N')
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
  }
  t.ok(slowest.ms < 2000, `the slowest took ${slowest.ms.toFixed(1)} ms: ${slowest.hex}`)
  t.ok(kinds.size > 10, [...kinds].map(([kind, count]) => `${count} ${kind}`).join('\n'))
})

t.test(`fuzz: ${DECODER_CASES} cases for the decoder, seed ${SEED}`, async (t) => {
  const random = numbers(seededRandom('xz decoder')(2 ** 32))
  const path = join(t.testdir(), 'a.xz')
  const end = Date.now() + DECODER_MS
  let decoded = 0
  for (let done = 0; done < DECODER_CASES && Date.now() < end;) {
    // Those that are whole come first.
    const bytes = SAMPLES[done] ?? mutate(random)
    // What the parser refuses never gets to a block: that is shown above.
    if (!(await parse(bytes)).endsWith(' bytes') && random(10) > 0) continue
    done++
    const want = unxz(bytes)
    const maxBlockBytes = random(2) === 0 ? undefined : 64
    const got = await decode(path, bytes, { maxBlockBytes }).catch((error: unknown) => error)
    const name = bytes.toString('hex')
    if (Buffer.isBuffer(got)) {
      decoded++
      t.ok(want?.equals(got), `as xz does: ${name}`)
    } else t.match(got, { code: 'BAD_ARCHIVE', message: /: at byte \d+: / }, name)
    if (!Buffer.isBuffer(got)) t.equal(want, undefined, `xz refuses it as well: ${name}`)
  }
  t.ok(decoded >= SAMPLES.length, `${decoded} were good`)
})
