// Damage of every kind to small archives: whatever is taken is what zstd itself
// makes of it, and nothing hangs or fails as a bug would.
import { buffer } from 'node:stream/consumers'
import { constants, zstdCompressSync } from 'node:zlib'
import * as fc from 'fast-check'
import t from 'tap'

import { startZstdDecoder } from '../../../../lib/codec/zstd/decoder.ts'
import { FrameSplitter } from '../../../../lib/codec/zstd/frames.ts'
import { ToolError } from '../../../../lib/core/errors.ts'
import { damaged, replace, type Damage } from '../../../fixtures/damage.ts'
import { startFile } from '../../../fixtures/run.ts'
import { pseudoRandom } from '../../../fixtures/sample-layers.ts'
import { chunked } from '../../../fixtures/tar-builder.ts'

const PARSED_CASES = 20_000
const DECODED_CASES = 600
const COMPARED_CASES = 60

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

const claim: Damage = (bytes, at, value) => {
  const field = CLAIMS[value % CLAIMS.length] ?? Buffer.alloc(0)
  return replace(bytes, at, field.length, field)
}
const claimInHeader: Damage = (bytes, at, value) =>
  claim(bytes, Math.min(bytes.length, 4 + (at % 10)), value)

const DAMAGED = damaged(FRAMES, [claim, claimInHeader])

/** What comes of it: the frames with their places, or the error. */
function split(archive: Buffer, chunkBytes: number): string {
  const splitter = new FrameSplitter('a')
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

t.test(`FrameSplitter: ${PARSED_CASES} damages, in chunks of two sizes`, async (t) => {
  const accepted = { yes: 0, no: 0 }
  const property = fc.property(DAMAGED, fc.integer({ min: 1, max: 9 }), (archive, chunkBytes) => {
    const whole = split(archive, archive.length)
    accepted[whole.includes('decompress "a"') ? 'no' : 'yes']++
    return split(archive, chunkBytes) === whole
  })
  fc.assert(property, { numRuns: PARSED_CASES })
  const least = PARSED_CASES / 100
  t.ok(accepted.yes > least && accepted.no > least, JSON.stringify(accepted))
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
    let compared = 0
    let refused = 0
    const property = fc.asyncProperty(DAMAGED, async (archive) => {
      const got = await decode(archive)
      if (!got) refused++
      else if (compared++ < COMPARED_CASES) {
        return (await reference(archive)) === got.toString('base64')
      }
      return true
    })
    await fc.assert(property, { numRuns: DECODED_CASES })
    t.ok(compared >= COMPARED_CASES / 5, `${compared} taken`)
    t.ok(refused >= DECODED_CASES / 10, `${refused} refused`)
  },
)

// The decoders of two versions differ in what they refuse; what is a frame does not.
// Of no frames zstd makes nothing, without an error.
t.test('FrameSplitter: what it refuses, zstd refuses', async (t) => {
  const refused = DAMAGED.filter((archive) => {
    const result = split(archive, archive.length)
    return result.includes('decompress "a"') && !result.endsWith('want a frame')
  })
  const property = fc.asyncProperty(refused, async (archive) => {
    return (await reference(archive)) === undefined
  })
  await t.resolves(fc.assert(property, { numRuns: COMPARED_CASES }))
})
