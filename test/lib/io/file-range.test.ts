import { appendFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import t from 'tap'

import { readStart, streamFile, wholeFile } from '../../../lib/io/file-range.ts'
import { pseudoRandom } from '../../fixtures/sample-layers.ts'

const CONTENT = pseudoRandom('file', 600_000)

// where it begins, how long it is, what comes of it
const RANGES: [number, number, Buffer][] = [
  [0, 1, CONTENT.subarray(0, 1)],
  [1, 599_999, CONTENT.subarray(1)],
  [262_143, 262_146, CONTENT.subarray(262_143, 524_289)],
  [599_990, 100, CONTENT.subarray(599_990)],
  [700_000, 5, Buffer.alloc(0)],
]

t.test('streamFile: all of a file, as it has become', async (t) => {
  const path = join(t.testdir(), 'file')
  await writeFile(path, CONTENT)
  const range = await wholeFile(path)
  t.strictSame(range, { path, offsetBytes: 0, sizeBytes: 600_000 })
  await appendFile(path, 'more')
  t.ok((await buffer(streamFile(path))).equals(Buffer.concat([CONTENT, Buffer.from('more')])))
})

for (const [offsetBytes, sizeBytes, want] of RANGES) {
  t.test(`streamFile and readStart: ${sizeBytes} bytes at ${offsetBytes}`, async (t) => {
    const path = join(t.testdir(), 'file')
    await writeFile(path, CONTENT)
    const range = { offsetBytes, sizeBytes }
    t.ok((await buffer(streamFile(path, range))).equals(want))
    t.ok((await readStart({ path, ...range }, 6)).equals(want.subarray(0, 6)))
  })
}

t.test('streamFile: a file that is not there', async (t) => {
  await t.rejects(buffer(streamFile(join(t.testdir(), 'none'))), { code: 'ENOENT' })
})
