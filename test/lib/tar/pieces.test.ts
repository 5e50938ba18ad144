import t from 'tap'

import type { TarMember } from '../../../lib/tar/parser.ts'
import { PieceCollector } from '../../../lib/tar/pieces.ts'

const CHUNK = Buffer.from('0123456789')
const [A, B] = ['a', 'b'].map((path): TarMember => {
  return { path, type: '0', sizeBytes: 0, offsetBytes: 0, linkPath: '', sparse: false }
})

type Step = [from: number, to: number, member?: TarMember | undefined] | string

// what, the steps, the pieces
const COLLECTED: [string, Step[], [string, (TarMember | undefined)?][]][] = [
  ['nothing', [], []],
  ['all at once', [[0, 10]], [['0123456789']]],
  ['what follows is one piece', [[0, 2], [2, 5], [5, 10]], [['0123456789']]],
  ['the content of a member is apart', [[0, 2], [2, 5, A], [5, 10]], [['01'], ['234', A], ['56789']]],
  ['that of the next is another piece', [[0, 5, A], [5, 10, B]], [['01234', A], ['56789', B]]],
  ['a gap is left out, but ends no piece', [[0, 2], [5, 7]], [['0156']]],
  ['a gap in a member', [[1, 2, A], [5, 7, A]], [['156', A]]],
  ['what was kept comes before', ['kept', [0, 2]], [['kept01']]],
  ['what was kept comes between', [[0, 2], 'kept', [5, 7]], [['01kept56']]],
  ['what was kept comes before a member', ['kept', [0, 2, A]], [['kept'], ['01', A]]],
  ['what was kept comes after a member', [[0, 2, A], 'kept', [2, 4]], [['01', A], ['kept23']]],
  ['no bytes are no piece', [[0, 0], [3, 3, A], [3, 3]], []],
] // prettier-ignore

for (const [what, steps, want] of COLLECTED) {
  t.test(`PieceCollector: ${what}`, async (t) => {
    const collector = new PieceCollector(CHUNK)
    for (const step of steps) {
      if (typeof step === 'string')
        collector.addKept(step.split('').map((letter) => Buffer.from(letter)))
      else collector.add(step[0], step[1], step[2])
    }
    t.strictSame(
      collector.finish().map(({ bytes, member }) => [bytes.toString(), member]),
      want.map(([text, member]) => [text, member]),
    )
  })
}

t.test('PieceCollector: one range is not copied', async (t) => {
  const collector = new PieceCollector(CHUNK)
  collector.add(2, 8, undefined)
  t.equal(collector.finish()[0]?.bytes.buffer, CHUNK.buffer)
})
