import t from 'tap'

import type { IndexedLayer } from '../../../lib/delivery/layer-index.ts'
import { planLoad } from '../../../lib/delivery/layer-plan.ts'
import type { ArchiveMetadata } from '../../../lib/delivery/metadata.ts'
import { missingLayers } from '../../../lib/engine/existing-layers.ts'
import { chainIds } from '../../../lib/image/chain-id.ts'
import type { Digest } from '../../../lib/image/digest.ts'
import type { ArchivedLayer } from '../../../lib/image/docker-archive.ts'
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

/** Metadata of images of these layers, some of which an increment lacks; capitals are compressed. */
function recordOf(images: readonly string[], required = ''): ArchiveMetadata {
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

function layerOf(letter: string): ArchivedLayer {
  return { digest: sha256(letter), sizeBytes: sizeOf(letter), diffId: diffIdOf(letter) }
}

function diffIdOf(letter: string): Digest {
  return letter === letter.toUpperCase() ? sha256(`uncompressed ${letter}`) : sha256(letter)
}

function heldOf(letter: string): IndexedLayer {
  if (!SEGMENT) throw new Error('the sample has no segment')
  const layer = { digest: sha256(letter), sizeBytes: sizeOf(letter) }
  return { ...layer, archive: 'x', coding: { codec: 'xz', level: 6 }, segment: SEGMENT }
}

interface Want {
  readonly excluded?: string
  readonly restored?: string
  readonly missing?: string
  readonly skipped?: string
}

// the images, what is required, the images that the engine has, the layers held, the plan
const PLANS: [string[], string, string[], string, Want][] = [
  [['abc'], '', [], '', {}],
  [['abc'], '', ['abc'], '', { excluded: 'abc', skipped: 'abc' }],
  [['abc'], '', ['ab'], '', { excluded: 'ab', skipped: 'ab' }],
  [['abc'], '', ['abx'], '', { excluded: 'ab', skipped: 'ab' }],
  [['abc'], '', ['bc'], '', {}],
  [['abc'], '', ['xabc'], '', {}],
  [['aba'], '', ['ab'], '', { excluded: 'b', skipped: 'b' }],
  [['aba'], '', ['aba'], '', { excluded: 'ab', skipped: 'ab' }],
  [['ab', 'xb'], '', ['ab'], '', { excluded: 'a', skipped: 'a' }],
  [['ab', 'ac'], '', ['ab'], '', { excluded: 'ab', skipped: 'ab' }],
  [['AB'], '', ['A'], '', { excluded: 'A', skipped: 'A' }],
  [['abc'], 'ab', [], '', { missing: 'ab' }],
  [['abc'], 'ab', [], 'ab', { restored: 'ab' }],
  [['abc'], 'ab', [], 'bx', { restored: 'b', missing: 'a' }],
  [['abc'], 'ab', ['a'], 'b', { restored: 'b', skipped: 'a' }],
  [['abc'], 'ab', ['ab'], 'ab', { skipped: 'ab' }],
  [['abc'], 'ab', ['abc'], '', { excluded: 'c', skipped: 'abc' }],
  [['abc'], 'ab', ['b'], '', { missing: 'ab' }],
  [[''], '', ['a'], '', {}],
  [[], '', ['a'], 'a', {}],
]

for (const [images, required, existing, held, want] of PLANS) {
  const title = `${images.join(' ')} that lacks "${required}", to an engine with "${existing.join(' ')}"`
  t.test(`planLoad: ${title}, "${held}" at hand`, async (t) => {
    const chains = new Set(existing.flatMap((layers) => chainIds(letters(layers).map(diffIdOf))))
    const metadata = recordOf(images, required)
    const lacked = missingLayers(metadata.images, chains)
    const plan = planLoad(metadata, lacked, letters(held).map(heldOf))
    const { excluded = '', restored = '', missing = '', skipped = '' } = want
    t.strictSame(plan.excluded, new Set(letters(excluded).map((letter) => sha256(letter))))
    t.strictSame(
      plan.missing.map(({ path }) => path[0]),
      letters(missing),
    )
    t.strictSame(
      plan.restored.map((each) => [each.external.path[0], each.layer.digest]),
      letters(restored).map((letter) => [letter, sha256(letter)]),
    )
    t.equal(
      plan.skippedBytes,
      letters(skipped).reduce((sum, letter) => sum + sizeOf(letter), 0),
    )
  })
}

t.test('planLoad: metadata that is no increment requires nothing', async (t) => {
  const { requires: _, ...metadata } = recordOf(['ab'])
  t.strictSame(planLoad(metadata, undefined, []), {
    excluded: new Set(),
    restored: [],
    missing: [],
    skippedBytes: 0,
  })
})

t.test('planLoad: of two archives that hold a layer, the first is taken', async (t) => {
  const [first, second] = ['first', 'second'].map((archive) => ({ ...heldOf('a'), archive }))
  const held = first && second ? [first, second] : []
  t.equal(planLoad(recordOf(['ab'], 'a'), undefined, held).restored[0]?.layer.archive, 'first')
})
