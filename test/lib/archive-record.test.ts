import t from 'tap'

import { formatRecord, parseRecord } from '../../lib/archive-record.ts'
import { SAMPLE_RECORD } from '../fixtures/sample-record.ts'

/** The record as JSON with one value changed, or taken out. */
function changed(path: string, value: unknown): string {
  const record: unknown = JSON.parse(formatRecord(SAMPLE_RECORD))
  const keys = path.split('.')
  const last = keys.pop() ?? ''
  const parent = keys.reduce<unknown>((at, key) => Object(at)[key], record)
  Object(parent)[last] = value
  return JSON.stringify(record)
}

t.test('formatRecord, parseRecord: give the record back', async (t) => {
  t.strictSame(parseRecord(formatRecord(SAMPLE_RECORD), 'a.json'), SAMPLE_RECORD)
})

t.test('formatRecord: the order of keys is always the same', async (t) => {
  const { segments, tar, archive, images, schema } = SAMPLE_RECORD
  t.equal(formatRecord({ segments, tar, archive, images, schema }), formatRecord(SAMPLE_RECORD))
  const keys = Object.keys(JSON.parse(formatRecord(SAMPLE_RECORD)))
  t.strictSame(keys, ['schema', 'images', 'archive', 'tar', 'segments'])
})

t.test('formatRecord: ends with one line end', async (t) => {
  t.match(formatRecord(SAMPLE_RECORD), /[^\n]\n$/)
})

t.test('parseRecord: what is not always known may be absent', async (t) => {
  for (const path of [
    'images.0.reference',
    'images.0.created',
    'images.0.imageId',
    'images.0.layers.0.blobDigest',
    'tar.contentMd5',
    'tar.modified',
  ]) {
    t.doesNotThrow(() => parseRecord(changed(path, undefined), 'a.json'), path)
  }
})

t.test('parseRecord: what it does not know is left out', async (t) => {
  t.strictSame(parseRecord(changed('note', 'from elsewhere'), 'a.json'), SAMPLE_RECORD)
})

// path, value
const BAD_VALUES: [string, unknown][] = [
  ['schema', undefined],
  ['schema', '1'],
  ['schema', 0],
  ['images', undefined],
  ['images.0.reference', '--help'],
  ['images.0.reference', ''],
  ['images.0.repoTags.0', '-v'],
  ['images.0.repoTags', null],
  ['images.0.platform', undefined],
  ['images.0.imageId', 'sha256:12'],
  ['images.0.configDigest', 'a1'.repeat(32)],
  ['images.0.configDigest', `sha256:${'A1'.repeat(32)}`],
  ['images.0.manifestDigests.0', '--all'],
  ['images.0.layers.0.diffId', `sha512:${'a1'.repeat(32)}`],
  ['images.0.layers.0.sizeBytes', -1],
  ['images.0.layers.0.blobDigest', null],
  ['archive.file', '../a.tar.xz'],
  ['archive.file', '/etc/passwd'],
  ['archive.file', 'a\\b'],
  ['archive.file', 'a\0b'],
  ['archive.file', ''],
  ['archive.file', '.'],
  ['archive.file', '..'],
  ['archive.sizeBytes', 1.5],
  ['archive.sizeBytes', 2 ** 53],
  ['archive.sizeBytes', '1'],
  ['archive.sha256', `sha256:${'a1'.repeat(32)}`],
  ['archive.codec', 'gzip'],
  ['archive.level', 10],
  ['archive.level', -1],
  ['archive.level', 5.5],
  ['archive.compressor.name', 1],
  ['archive.compressor.version', undefined],
  ['tar.sizeBytes', null],
  ['tar.contentMd5', 'a1'],
  ['tar.modified', 1],
  ['segments', {}],
  ['segments.0.sha256', ''],
  ['segments.0.offsetBytes', -1],
  ['segments.0.tarSizeBytes', undefined],
]

for (const [path, value] of BAD_VALUES) {
  t.test(`parseRecord: refuses ${path}: ${JSON.stringify(value)}`, async (t) => {
    t.throws(() => parseRecord(changed(path, value), 'a.json'), {
      code: 'BAD_RECORD',
      message: `read "a.json": ${path}: `,
      hint: 'the archive itself may be whole: remove its record to use it without that proof',
    })
  })
}

t.test('parseRecord: refuses a newer schema, and tells what to use', async (t) => {
  t.throws(() => parseRecord('{"schema":2,"other":true}', 'a.json'), {
    code: 'BAD_RECORD',
    message: 'read "a.json": schema: got 2, want at most 1',
    hint: 'use the tools that came with the archives',
  })
})

for (const text of ['', '{', 'null', '[]', '"x"', formatRecord(SAMPLE_RECORD).slice(0, -3)]) {
  t.test(`parseRecord: refuses ${JSON.stringify(text).slice(0, 20)}`, async (t) => {
    t.throws(() => parseRecord(text, 'a.json'), { code: 'BAD_RECORD', message: 'read "a.json": ' })
  })
}

t.test('formatRecord: does not write what could not be read', async (t) => {
  const archive = { ...SAMPLE_RECORD.archive, file: '../a' }
  t.throws(() => formatRecord({ ...SAMPLE_RECORD, archive }))
})
