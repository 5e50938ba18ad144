import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import t from 'tap'

import { storeXz } from '../../../../lib/codec/stored.ts'
import { watchXz } from '../../../../lib/codec/xz/progress.ts'
import { sh } from '../../../fixtures/run.ts'
import { pseudoRandom } from '../../../fixtures/sample-layers.ts'
import { chunked } from '../../../fixtures/tar-builder.ts'

const MIB = 1024 * 1024
// What compresses, what does not, and what does both by turns.
const CONTENTS: [string, Buffer][] = [
  ['nothing', Buffer.alloc(0)],
  ['a byte', Buffer.from('x')],
  ['zeros', Buffer.alloc(5 * MIB)],
  ['noise', randomBytes(3 * MIB + 1)],
  ['both', Buffer.concat([Buffer.alloc(MIB), pseudoRandom('noise', 200_001), Buffer.alloc(MIB)])],
]
const COMMANDS = [
  'xz -1',
  'xz -0 -T2 --block-size=65536',
  'xz -0 --check=none',
  'xz -0 --check=crc32',
  'xz -0 --check=sha256 --block-size=1000003',
  'pixz -t -0',
]

for (const command of COMMANDS) {
  for (const [what, content] of CONTENTS) {
    t.test(`watchXz: ${command}: ${what} is done when all of it is`, async (t) => {
      const stream = Buffer.from(await sh(`${command} | base64 -w0`, { input: content }), 'base64')
      for (const size of [stream.length < 100_000 ? 1 : 1009, 65_536, stream.length]) {
        const progress = watchXz()
        t.equal(progress.doneBytes, 0)
        for (const chunk of chunked(stream, size)) progress.write(chunk)
        t.equal(progress.doneBytes, content.length, `in chunks of ${size}`)
      }
    })
  }
}

t.test('watchXz: what is stored counts, too', async (t) => {
  const content = randomBytes(200_000)
  const progress = watchXz()
  for await (const chunk of storeXz(Readable.from([content]))) progress.write(chunk)
  t.equal(progress.doneBytes, content.length)
})

t.test('watchXz: a block is done once its last chunk is there', async (t) => {
  const content = Buffer.concat([randomBytes(MIB), randomBytes(MIB)])
  const script = `xz -0 --block-size=${MIB} | base64 -w0`
  const stream = Buffer.from(await sh(script, { input: content }), 'base64')
  const progress = watchXz()
  progress.write(stream.subarray(0, MIB / 2))
  t.ok(progress.doneBytes > MIB / 3 && progress.doneBytes < MIB / 2, 'half of the first block')
  progress.write(stream.subarray(MIB / 2, MIB + 1000))
  t.equal(progress.doneBytes, MIB, 'the first block')
})
