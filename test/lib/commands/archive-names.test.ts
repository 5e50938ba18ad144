import t from 'tap'

import { checkNamed, checkReference } from '../../../lib/commands/archive-names.ts'
import type { ArchiveMetadata } from '../../../lib/delivery/metadata.ts'
import { parseReference } from '../../../lib/image/reference.ts'
import { sha256 } from '../../fixtures/digest.ts'
import { SAMPLE_RECORD } from '../../fixtures/sample-record.ts'

const RECORD: ArchiveMetadata = SAMPLE_RECORD
const [IMAGE] = RECORD.images
const LAYER = sha256('layer')

const BARE = {
  platform: 'linux/amd64',
  manifests: [],
  config: { digest: sha256('config') },
  layers: [],
}

// reference, tags of the tar, whether they agree
const REFERENCES: [string | undefined, string[], boolean][] = [
  [undefined, [], true],
  ['a:1', ['a:1'], true],
  ['a', ['b:1', 'a:latest'], true],
  ['docker.io/library/a:1', ['a:1'], true],
  ['a:1', ['docker.io/library/a:1'], true],
  ['a:1', ['localhost/a:1'], true],
  // podman finds a short name in the registry that its settings name.
  ['a/b:1', ['quay.io/a/b:1'], true],
  ['r.io/a:1', ['q.io/r.io/a:1'], false],
  [`a@${sha256('digest')}`, [], true],
  [`a:1@${sha256('digest')}`, ['a:1'], true],
  ['a:1', ['a:2'], false],
  ['a:1', ['r.io/ba:1'], false],
  ['a:1', [], false],
]

for (const [reference, repoTags, agree] of REFERENCES) {
  t.test(`checkReference: ${reference}, tags ${repoTags.join(', ') || 'none'}`, async (t) => {
    const images = [{ ...BARE, repoTags, ...(reference !== undefined && { reference }) }]
    const check = () => checkReference('a.tar.xz', { images })
    if (agree) t.doesNotThrow(check)
    else t.throws(check, { code: 'MISMATCH', message: `want ${reference}` })
  })
}

t.test('checkNamed: what was saved for another image than the one that was named', async (t) => {
  const named = (text: string) => ({
    archive: 'a_b-1.tar.xz',
    label: text,
    reference: parseReference(text),
  })
  const [image] = RECORD.images
  if (!image) throw new Error('no image')
  const metadata = { ...RECORD, images: [{ ...image, reference: 'a/b:1' }] }
  t.doesNotThrow(() => checkNamed(named('a/b:1'), metadata))
  t.doesNotThrow(() => checkNamed({ archive: 'a_b-1.tar.xz', label: 'a_b-1.tar.xz' }, metadata))
  t.throws(() => checkNamed(named('a_b:1'), metadata), {
    code: 'MISMATCH',
    message: 'read "a_b-1.tar.xz": got a/b:1, want a_b:1',
  })
})

// the tags of an archive that nobody saved by a name, what was named, whether it is that
const TAGGED: [string[], string, boolean][] = [
  [[], 'a:1', true],
  [['a:1'], 'a:1', true],
  [['b:1', 'a:1'], 'a:1', true],
  [['docker.io/library/a:1'], 'a:1', true],
  [['localhost/a:1'], 'a:1', true],
  [['a:1'], 'docker.io/a:1', true],
  [['b:1'], 'a:1', false],
  [['b:1'], `a@${LAYER}`, true],
]

for (const [repoTags, name, isIt] of TAGGED) {
  t.test(`checkNamed: ${repoTags.join()} as ${name}`, async (t) => {
    if (!IMAGE) throw new Error('no image')
    const { reference: _, ...image } = IMAGE
    const target = { archive: 'a', label: name, reference: parseReference(name) }
    const check = () => checkNamed(target, { ...RECORD, images: [{ ...image, repoTags }] })
    if (isIt) t.doesNotThrow(check)
    else t.throws(check, { code: 'MISMATCH', message: 'got b:1, want a:1' })
  })
}
