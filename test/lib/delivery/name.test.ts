import t from 'tap'

import {
  archiveName,
  checkNameClashes,
  checkTagClashes,
  incrementName,
  isArchiveName,
  isMetadataName,
  metadataName,
  describedArchive,
} from '../../../lib/delivery/name.ts'
import { parseReference } from '../../../lib/image/reference.ts'

const DIGEST = '0f'.repeat(32)

const NAMES: [string, string][] = [
  ['ubuntu', 'ubuntu.tar.xz'],
  ['nvcr.io/nvidia/pytorch:24.05-py3', 'nvcr.io_nvidia_pytorch-24.05-py3.tar.xz'],
  ['localhost:5000/a:1', 'localhost-5000_a-1.tar.xz'],
  [`a/b@sha256:${DIGEST}`, `a_b@sha256-${DIGEST}.tar.xz`],
]

for (const [text, want] of NAMES) {
  t.test(`archiveName: of ${text}`, async (t) => {
    t.equal(archiveName(parseReference(text), 'xz'), want)
  })
}

const ARCHIVES: [string, boolean][] = [
  ['a.tar.xz', true],
  ['dir/a.tar.xz', true],
  ['.tar.xz', false],
  ['a.tar', false],
  ['a.tar.xz.json', false],
  ['a-tar.xz', false],
]

for (const [name, want] of ARCHIVES) {
  t.test(`isArchiveName: ${want ? 'yes' : 'no'} for ${name}`, async (t) => {
    t.equal(isArchiveName(name), want)
  })
}

const RECORDS: [string, boolean][] = [
  ['a.tar.xz.json', true],
  ['dir/a.increment.tar.xz.json', true],
  ['.tar.xz.json', false],
  ['a.tar.xz', false],
  ['a.json', false],
  ['.json', false],
  ['', false],
]

for (const [name, want] of RECORDS) {
  t.test(`isRecordName: ${want ? 'yes' : 'no'} for "${name}"`, async (t) => {
    t.equal(isMetadataName(name), want)
  })
}

t.test('recordedName: the archive that metadata lies beside', async (t) => {
  t.equal(describedArchive('dir/a.tar.xz.json'), 'dir/a.tar.xz')
  t.equal(describedArchive(metadataName('b.tar.xz')), 'b.tar.xz')
})

t.test('incrementName: an archive too, beside that in full', async (t) => {
  t.equal(incrementName('dir/a-1.tar.xz'), 'dir/a-1.increment.tar.xz')
  t.ok(isArchiveName(incrementName('a.tar.xz')))
})

t.test('recordName: lies beside the archive', async (t) => {
  t.equal(metadataName('dir/a.tar.xz'), 'dir/a.tar.xz.json')
})

t.test('checkNameClashes: names both references and the file', async (t) => {
  const references = ['c/d:1', 'a/b:1', 'a_b:1'].map(parseReference)
  t.throws(() => checkNameClashes(references), {
    code: 'NAME_CLASH',
    message: '"a/b:1" and "a_b:1" have the same archive name "a_b-1"',
  })
})

t.test('checkTagClashes: one tag for two digests', async (t) => {
  const digest = `sha256:${'a'.repeat(64)}`
  t.throws(() => checkTagClashes([`a/b:1@${digest}`, 'a/b:1'].map(parseReference)), {
    code: 'NAME_CLASH',
    message: `"a/b:1@${digest}" and "a/b:1" have one tag, "a/b:1", for two digests`,
  })
  const apart = [`a/b@${digest}`, 'a/b', 'a/b:latest', `a/c:1@${digest}`]
  t.doesNotThrow(() => checkTagClashes(apart.map(parseReference)))
})

t.test('checkNameClashes: different names are fine', async (t) => {
  t.doesNotThrow(() => checkNameClashes(['a/b:1', 'a/b:2', 'a/c:1'].map(parseReference)))
})
