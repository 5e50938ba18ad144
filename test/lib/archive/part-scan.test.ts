import t from 'tap'

import { PartScan } from '../../../lib/archive/part-scan.ts'
import { chunked } from '../../fixtures/tar-builder.ts'

/** Parts of `a`, `b`, … of these sizes, each in brackets. */
function parts(sizes: readonly number[]) {
  return sizes.map((sizeBytes) => ({
    sizeBytes,
    begin: () => [Buffer.from('[')],
    write: (bytes: Buffer) => [bytes],
    end: () => [Buffer.from(']')],
  }))
}

function scan(sizes: readonly number[], text: string, chunkBytes: number): string {
  const scanned = new PartScan(parts(sizes))
  const chunks = [...chunked(Buffer.from(text), chunkBytes)]
  return Buffer.concat([
    ...chunks.flatMap((chunk) => [...scanned.write(chunk)]),
    ...scanned.end(),
  ]).toString()
}

// sizes of the parts, the bytes, what the sink gets
const SCANS: [number[], string, string][] = [
  [[], '', ''],
  [[0], '', '[]'],
  [[1], 'a', '[a]'],
  [[0, 2, 0, 0, 3, 0], 'aabbb', '[][aa][][][bbb][]'],
  [[4, 4], 'aaaabbbb', '[aaaa][bbbb]'],
]

for (const [sizes, text, want] of SCANS) {
  t.test(
    `PartScan: parts of ${sizes.join(', ') || 'nothing'}, in chunks of any size`,
    async (t) => {
      for (const chunkBytes of [1, 2, 3, 4, 5, 99]) t.equal(scan(sizes, text, chunkBytes), want)
    },
  )
}

t.test('PartScan: fewer and more bytes than the parts have', async (t) => {
  for (const [sizes, text, code] of [
    [[1], '', 'TRUNCATED_TAR'],
    [[2, 2], 'aab', 'TRUNCATED_TAR'],
    [[], 'a', 'MISMATCH'],
    [[2, 0], 'aab', 'MISMATCH'],
  ] as const) {
    for (const chunkBytes of [1, 99]) t.throws(() => scan(sizes, text, chunkBytes), { code })
  }
})

t.test('PartScan: what a part throws at its end comes before that more bytes follow', async (t) => {
  const wrong = new Error('another layer')
  const end = (): never => {
    throw wrong
  }
  const scanned = new PartScan([{ sizeBytes: 1, write: (bytes) => [bytes], end }])
  t.throws(() => [...scanned.write(Buffer.from('ab'))], wrong)
})
