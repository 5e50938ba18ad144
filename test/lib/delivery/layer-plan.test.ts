import t from 'tap'

import type { ArchiveRecord } from '../../../lib/delivery/metadata.ts'
import { chainIds } from '../../../lib/image/chain-id.ts'
import type { HeldLayer } from '../../../lib/delivery/layer-index.ts'
import { planLoad } from '../../../lib/delivery/layer-plan.ts'
import { sha256 } from '../../fixtures/digest.ts'
import { SAMPLE_RECORD } from '../../fixtures/sample-record.ts'

const [SEGMENT] = SAMPLE_RECORD.segments
const [IMAGE] = SAMPLE_RECORD.images

function letters(text: string): string[] {
  return text.split('')
}

function sizeOf(letter: string): number {
  return letter.charCodeAt(0)
}

/** A record of images of these layers, some of which an increment lacks; capitals are compressed. */
function recordOf(images: readonly string[], required = ''): ArchiveRecord {
  if (!SEGMENT || !IMAGE) throw new Error('the sample has no image')
  const own = new Set(letters(images.join('')).filter((letter) => !required.includes(letter)))
  return {
    ...SAMPLE_RECORD,
    images: images.map((layers) => ({ ...IMAGE, layers: letters(layers).map(layerOf) })),
    segments: [
      SEGMENT,
      ...Array.from(own, (letter) => ({
        ...SEGMENT,
        layerDigest: sha256(letter),
        tarSizeBytes: sizeOf(letter),
      })),
    ],
    requires: letters(required).map((letter) => ({
      digest: sha256(letter),
      sizeBytes: sizeOf(letter),
      path: `${letter}/layer.tar`,
      archive: 'earlier.tar.xz',
    })),
  }
}

function layerOf(letter: string): { diffId: string; sizeBytes: number; blobDigest?: string } {
  const isBlob = letter === letter.toUpperCase()
  const layer = { diffId: diffIdOf(letter), sizeBytes: sizeOf(letter) }
  return isBlob ? { ...layer, blobDigest: sha256(letter) } : layer
}

function diffIdOf(letter: string): string {
  return letter === letter.toUpperCase() ? sha256(`uncompressed ${letter}`) : sha256(letter)
}

function heldOf(letter: string): HeldLayer {
  if (!SEGMENT) throw new Error('the sample has no segment')
  const layer = { digest: sha256(letter), sizeBytes: sizeOf(letter) }
  return { ...layer, archive: 'x', coding: { codec: 'xz', level: 6 }, segment: SEGMENT }
}

interface Want {
  readonly omit?: string
  readonly putBack?: string
  readonly missing?: string
  readonly skipped?: string
}

// the images, what is required, the images that the engine has, the layers held, the plan
const PLANS: [string[], string, string[], string, Want][] = [
  [['abc'], '', [], '', {}],
  [['abc'], '', ['abc'], '', { omit: 'abc', skipped: 'abc' }],
  [['abc'], '', ['ab'], '', { omit: 'ab', skipped: 'ab' }],
  [['abc'], '', ['abx'], '', { omit: 'ab', skipped: 'ab' }],
  [['abc'], '', ['bc'], '', {}],
  [['abc'], '', ['xabc'], '', {}],
  [['aba'], '', ['ab'], '', { omit: 'b', skipped: 'b' }],
  [['aba'], '', ['aba'], '', { omit: 'ab', skipped: 'ab' }],
  [['ab', 'xb'], '', ['ab'], '', { omit: 'a', skipped: 'a' }],
  [['ab', 'ac'], '', ['ab'], '', { omit: 'ab', skipped: 'ab' }],
  [['AB'], '', ['A'], '', { omit: 'A', skipped: 'A' }],
  [['abc'], 'ab', [], '', { missing: 'ab' }],
  [['abc'], 'ab', [], 'ab', { putBack: 'ab' }],
  [['abc'], 'ab', [], 'bx', { putBack: 'b', missing: 'a' }],
  [['abc'], 'ab', ['a'], 'b', { putBack: 'b', skipped: 'a' }],
  [['abc'], 'ab', ['ab'], 'ab', { skipped: 'ab' }],
  [['abc'], 'ab', ['abc'], '', { omit: 'c', skipped: 'abc' }],
  [['abc'], 'ab', ['b'], '', { missing: 'ab' }],
  [[''], '', ['a'], '', {}],
  [[], '', ['a'], 'a', {}],
]

for (const [images, required, present, held, want] of PLANS) {
  const title = `${images.join(' ')} that lacks "${required}", to an engine with "${present.join(' ')}"`
  t.test(`planLoad: ${title}, "${held}" at hand`, async (t) => {
    const chains = new Set(present.flatMap((layers) => chainIds(letters(layers).map(diffIdOf))))
    const plan = planLoad(recordOf(images, required), chains, letters(held).map(heldOf))
    const { omit = '', putBack = '', missing = '', skipped = '' } = want
    t.strictSame(plan.omit, new Set(letters(omit).map((letter) => sha256(letter))))
    t.strictSame(
      plan.missing.map(({ path }) => path[0]),
      letters(missing),
    )
    t.strictSame(
      plan.putBack.map((each) => [each.required.path[0], each.layer.digest]),
      letters(putBack).map((letter) => [letter, sha256(letter)]),
    )
    t.equal(
      plan.skippedBytes,
      letters(skipped).reduce((sum, letter) => sum + sizeOf(letter), 0),
    )
  })
}

t.test('planLoad: a record that is no increment requires nothing', async (t) => {
  const { requires: _, ...record } = recordOf(['ab'])
  t.strictSame(planLoad(record, new Set(), []), {
    omit: new Set(),
    putBack: [],
    missing: [],
    skippedBytes: 0,
  })
})

t.test('planLoad: of two archives that hold a layer, the first is taken', async (t) => {
  const [first, second] = ['first', 'second'].map((archive) => ({ ...heldOf('a'), archive }))
  const held = first && second ? [first, second] : []
  t.equal(planLoad(recordOf(['ab'], 'a'), new Set(), held).putBack[0]?.layer.archive, 'first')
})
