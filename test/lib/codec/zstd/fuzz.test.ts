// Damage of every kind to small archives: whatever is taken is what zstd itself
// makes of it, and nothing hangs or fails as a bug would.
import { buffer } from 'node:stream/consumers'
import { constants, zstdCompressSync } from 'node:zlib'
import t from 'tap'

import { ToolError } from '../../../../lib/core/errors.ts'
import { startZstdDecoder } from '../../../../lib/codec/zstd/decoder.ts'
import { createFrameSplitter } from '../../../../lib/codec/zstd/frames.ts'
import { startFile } from '../../../fixtures/run.ts'
import { pseudoRandom } from '../../../fixtures/sample-layers.ts'
import { SEED } from '../../../fixtures/seeded-random.ts'
import { chunked } from '../../../fixtures/tar-builder.ts'

t.comment(`TEST_SEED=${SEED} repeats these damages`)

const PARSED_CASES = 100_000
const DECODED_CASES = 1500
const COMPARED_CASES = 150
const PARSED_MS = 60_000

type Random = (below: number) => number

// Quicker than the seeded numbers of other tests, as millions are needed.
function quickRandom(purpose: string): Random {
  let state = pseudoRandom(`${SEED} ${purpose}`, 4).readUInt32LE()
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

const FRAMES = [
  ...[0, 1, 30, 300, 2000].flatMap((size) =>
    [0, 1].flatMap((checksum) => [
      zstdCompressSync(Buffer.alloc(size, 'some text '), {
        params: { [constants.ZSTD_c_checksumFlag]: checksum },
      }),
      zstdCompressSync(pseudoRandom('frame', Math.min(size, 300)), {
        params: {
          [constants.ZSTD_c_checksumFlag]: checksum,
          [constants.ZSTD_c_contentSizeFlag]: 0,
        },
      }),
    ]),
  ),
  Buffer.from('28b52ffd0038080000080000020010780b000061', 'hex'), // raw blocks and runs
  Buffer.from('502a4d180300000061626328b52ffd2003190000616263', 'hex'), // after a skippable one
]

// What a field of a header may claim: 0, 1, the largest, and what lies between.
const CLAIMS = ['00', 'ff', '00000080', 'ffffffff', '0000008000000000', 'ffffffffffffffff', '010000', 'f9ffff', '28b52ffd', '502a4d18'].map((hex) => Buffer.from(hex, 'hex')) // prettier-ignore

const NOISE = pseudoRandom('noise', 72)

const MUTATIONS: ((bytes: Buffer, at: number, random: Random) => Buffer)[] = [
  (bytes, at, random) => {
    const copy = Buffer.from(bytes)
    copy[at] = (copy[at] ?? 0) ^ (1 << random(8))
    return copy
  },
  (bytes, at, random) => replace(bytes, at, 1 + random(8), Buffer.alloc(0)),
  (bytes, at, random) =>
    replace(bytes, at, 0, NOISE.subarray(random(64)).subarray(0, 1 + random(8))),
  (bytes, at, random) => replace(bytes, at, random(20), pick(FRAMES, random)),
  (bytes, at, random) => replace(bytes, at, bytes.length, pick(FRAMES, random).subarray(random(9))),
  (bytes, at) => bytes.subarray(0, at),
  (bytes, at, random) => {
    const claim = pick(CLAIMS, random)
    return replace(bytes, at, claim.length, claim)
  },
  (bytes, _, random) => {
    const claim = pick(CLAIMS, random)
    return replace(bytes, 4 + random(10), claim.length, claim)
  },
]

function replace(bytes: Buffer, at: number, count: number, by: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, at), by, bytes.subarray(at + count)])
}

function pick<T>(list: readonly T[], random: Random): T {
  const found = list[random(list.length)]
  if (found === undefined) throw new Error('the list is empty')
  return found
}

function damage(random: Random): Buffer {
  let bytes: Buffer = Buffer.concat(
    Array.from({ length: 1 + random(3) }, () => pick(FRAMES, random)),
  )
  for (let left = 1 + random(3); left > 0; left--) {
    bytes = pick(MUTATIONS, random)(bytes, random(bytes.length + 1), random)
  }
  return bytes
}

/** What comes of it: the frames with their places, or the error. */
function split(archive: Buffer, chunkBytes: number): string {
  const splitter = createFrameSplitter('a')
  const frames: string[] = []
  let parts: Buffer[] = []
  try {
    for (const chunk of chunked(archive, chunkBytes)) {
      for (const { offsetBytes, bytes, isLast } of splitter.write(chunk)) {
        parts.push(bytes)
        if (!isLast) continue
        frames.push(`${offsetBytes} ${Buffer.concat(parts).toString('latin1')}`)
        parts = []
      }
    }
    splitter.end()
  } catch (error) {
    if (!(error instanceof ToolError) || error.code !== 'BAD_ARCHIVE') throw error
    if (!/^decompress "a": at byte \d+: /.test(error.message)) throw error
    frames.push(error.message)
  }
  return frames.join('\n')
}

t.test(`createFrameSplitter: ${PARSED_CASES} damages, in chunks of two sizes`, async (t) => {
  const random = quickRandom('parser')
  const beganMs = performance.now()
  const accepted = { yes: 0, no: 0 }
  let cases = 0
  for (; cases < PARSED_CASES && performance.now() - beganMs < PARSED_MS; cases++) {
    const archive = damage(random)
    const whole = split(archive, archive.length)
    const parts = split(archive, 1 + random(9))
    if (whole !== parts) t.equal(parts, whole, archive.toString('hex'))
    accepted[whole.includes('decompress "a"') ? 'no' : 'yes']++
  }
  t.ok(accepted.yes > cases / 100 && accepted.no > cases / 100, JSON.stringify(accepted))
  t.equal(cases, PARSED_CASES)
})

async function decode(archive: Buffer): Promise<Buffer | undefined> {
  const child = startZstdDecoder({ archive: 'a' })
  const out = buffer(child.stdout)
  child.stdin.on('error', () => {})
  child.stdin.end(archive)
  try {
    const [bytes] = await Promise.all([out, child.exited])
    return bytes
  } catch (error) {
    if (!(error instanceof ToolError) || error.code !== 'BAD_ARCHIVE') throw error
    return undefined
  }
}

/** What zstd gives; undefined where it fails. */
async function reference(archive: Buffer): Promise<string | undefined> {
  const options = { input: archive }
  const script = 'zstd -dc --long=31 | base64 -w0; exit ${PIPESTATUS[0]}'
  const { status, stdout } = await startFile('bash', ['-c', script], options).done
  return status === 0 ? stdout : undefined
}

t.test(
  `startZstdDecoder: what is left of ${DECODED_CASES} damages is what zstd gives`,
  async (t) => {
    const random = quickRandom('decoder')
    let compared = 0
    let refused = 0
    for (let cases = 0; cases < DECODED_CASES; cases++) {
      const archive = damage(random)
      const got = await decode(archive)
      if (!got) refused++
      else if (compared++ < COMPARED_CASES) {
        const want = await reference(archive)
        if (got.toString('base64') !== want)
          t.equal(got.toString('base64'), want, archive.toString('hex'))
      }
    }
    t.ok(compared >= COMPARED_CASES / 5, `${compared} taken`)
    t.ok(refused >= DECODED_CASES / 10, `${refused} refused`)
  },
)

// The decoders of two versions differ in what they refuse; what is a frame does not.
t.test('createFrameSplitter: what it refuses, zstd refuses', async (t) => {
  const random = quickRandom('refused')
  for (let compared = 0; compared < COMPARED_CASES;) {
    const archive = damage(random)
    const result = split(archive, archive.length)
    // Of no frames zstd makes nothing, without an error.
    if (!result.includes('decompress "a"') || result.endsWith('want a frame')) continue
    compared++
    if ((await reference(archive)) !== undefined) t.fail(`zstd takes ${archive.toString('hex')}`)
  }
  t.pass('all compared')
})
