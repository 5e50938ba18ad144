import { appendFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import t from 'tap'

import { archiveAt, readStart, wholeArchive } from '../../../lib/io/archive-file.ts'
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

t.test('archiveAt: all of a file, as it has become', async (t) => {
  const path = join(t.testdir(), 'file')
  await writeFile(path, CONTENT)
  const file = archiveAt(path)
  t.match(await wholeArchive(file), { offsetBytes: 0, sizeBytes: 600_000 })
  await appendFile(path, 'more')
  t.ok((await buffer(file.stream())).equals(Buffer.concat([CONTENT, Buffer.from('more')])))
})

for (const [offsetBytes, sizeBytes, want] of RANGES) {
  t.test(`archiveAt and readStart: ${sizeBytes} bytes at ${offsetBytes}`, async (t) => {
    const path = join(t.testdir(), 'file')
    await writeFile(path, CONTENT)
    const file = archiveAt(path)
    const range = { offsetBytes, sizeBytes }
    t.ok((await buffer(file.stream(range))).equals(want))
    t.ok((await readStart({ file, ...range }, 6)).equals(want.subarray(0, 6)))
  })
}

t.test('archiveAt: a file that is not there', async (t) => {
  await t.rejects(buffer(archiveAt(join(t.testdir(), 'none')).stream()), { code: 'ENOENT' })
})
