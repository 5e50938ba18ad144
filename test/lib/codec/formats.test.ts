import t from 'tap'

import { chooseCoding, codecOf, isSameCoding, type Coding } from '../../../lib/codec/formats.ts'
import { sh } from '../../fixtures/run.ts'

type Wanted = Parameters<typeof chooseCoding>[0]

const NOTHING: Wanted = { format: undefined, level: undefined, long: undefined }

// what is asked for, what it comes to
const CHOSEN: [Partial<Wanted>, Coding][] = [
  [{}, { codec: 'xz', level: 6 }],
  [{ level: 0 }, { codec: 'xz', level: 0 }],
  [
    { format: 'xz', level: 9 },
    { codec: 'xz', level: 9 },
  ],
  [{ format: 'zst' }, { codec: 'zstd', level: 8, windowLog: 27 }],
  [
    { format: 'zst', level: 19, long: 31 },
    { codec: 'zstd', level: 19, windowLog: 31 },
  ],
]

for (const [wanted, want] of CHOSEN) {
  t.test(`chooseCoding: ${JSON.stringify(wanted)}`, async (t) => {
    t.strictSame(chooseCoding({ ...NOTHING, ...wanted }), want)
  })
}

// what is asked for, what is wrong with it
const REFUSED: [Partial<Wanted>, string][] = [
  [{ level: 10 }, '--level: got 10, want 0 to 9 for xz'],
  [{ format: 'zst', level: 0 }, '--level: got 0, want 1 to 19 for zst'],
  [{ format: 'zst', level: 20 }, '--level: got 20, want 1 to 19 for zst'],
  [{ long: 27 }, '--long is for --format zst'],
  [{ format: 'xz', long: 27 }, '--long is for --format zst'],
]

for (const [wanted, message] of REFUSED) {
  t.test(`chooseCoding: ${message}`, async (t) => {
    t.throws(() => chooseCoding({ ...NOTHING, ...wanted }), { code: 'USAGE', message })
  })
}

t.test('isSameCoding: codec, level and window', async (t) => {
  const coding: Coding = { codec: 'zstd', level: 3, windowLog: 27 }
  t.ok(isSameCoding(coding, { ...coding }))
  t.notOk(isSameCoding(coding, { ...coding, level: 4 }))
  t.notOk(isSameCoding(coding, { ...coding, windowLog: 28 }))
  t.notOk(isSameCoding(coding, { codec: 'xz', level: 3 }))
})

// what makes the bytes, the codec
const MADE: [string, string | undefined][] = [
  ['printf x | xz', 'xz'],
  ['printf x | pixz -t', 'xz'],
  ['printf x | zstd', 'zstd'],
  ["printf '\\120\\052\\115\\030'", 'zstd'],
  ["printf '\\137\\052\\115\\030'", 'zstd'],
  ["printf '\\117\\052\\115\\030'", undefined],
  ['printf x | xz | head -c 5', undefined],
  ['printf x | zstd | head -c 3', undefined],
  ['printf x | gzip', undefined],
  ['true', undefined],
]

for (const [made, codec] of MADE) {
  t.test(`codecOf: ${made}`, async (t) => {
    t.equal(codecOf(Buffer.from(await sh(`(${made}) | base64 -w0`), 'base64')), codec)
  })
}
