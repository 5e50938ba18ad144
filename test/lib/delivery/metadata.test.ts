import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

import { formatMetadata, parseMetadata } from '../../../lib/delivery/metadata.ts'
import type { ExternalLayer } from '../../../lib/image/docker-archive.ts'
import { hexOf, sha256 } from '../../fixtures/digest.ts'
import { SAMPLE_RECORD } from '../../fixtures/sample-record.ts'

/** The metadata as JSON with one value changed, or taken out. */
function changed(path: string, value: unknown): string {
  const metadata: unknown = JSON.parse(formatMetadata(SAMPLE_RECORD))
  const keys = path.split('.')
  const last = keys.pop() ?? ''
  const parent = keys.reduce<unknown>((at, key) => Object(at)[key], metadata)
  Object(parent)[last] = value
  return JSON.stringify(metadata)
}

t.test('formatRecord, parseRecord: give the metadata back', async (t) => {
  t.strictSame(parseMetadata(formatMetadata(SAMPLE_RECORD), 'a.json'), SAMPLE_RECORD)
})

t.test('formatRecord: the order of keys is always the same', async (t) => {
  const { segments, tar, archive, images, schema } = SAMPLE_RECORD
  t.equal(formatMetadata({ segments, tar, archive, images, schema }), formatMetadata(SAMPLE_RECORD))
  const keys = Object.keys(JSON.parse(formatMetadata(SAMPLE_RECORD)))
  t.strictSame(keys, ['schema', 'images', 'archive', 'tar', 'segments'])
})

t.test('formatRecord: ends with one line end', async (t) => {
  t.match(formatMetadata(SAMPLE_RECORD), /[^\n]\n$/)
})

t.test('parseRecord: what is not always known may be absent', async (t) => {
  for (const path of [
    'images.0.reference',
    'images.0.created',
    'images.0.index',
    'images.0.manifests.0.platform',
    'tar.contentMd5',
    'tar.modified',
  ]) {
    t.doesNotThrow(() => parseMetadata(changed(path, undefined), 'a.json'), path)
  }
})

// As engines and builders write it.
for (const [path, value] of [
  ['images.0.platform', ''],
  ['images.0.platform', 'linux'],
  ['images.0.platform', 'linux/arm64/v8'],
  ['images.0.platform', 'windows/amd64'],
  ['images.0.platform', 'linux/loong64'],
  ['images.0.created', '0001-01-01T00:00:00Z'],
  ['images.0.created', '2024-05-01T12:00:00.123456789+02:00'],
  ['archive.compressor.version', 'liblzma'],
  ['archive.file', 'größe 数.tar.xz'],
  ['tar.modified', '+010000-01-01T00:00:00.000Z'],
] as const) {
  t.test(`parseRecord: takes ${path}: "${value}"`, async (t) => {
    t.doesNotThrow(() => parseMetadata(changed(path, value), 'a.json'))
  })
}

t.test('parseRecord: what may be said besides', async (t) => {
  const metadata = parseMetadata(changed('images.0.recompressed', true), 'a.json')
  t.match(metadata, { images: [{ recompressed: true }] })
})

t.test('parseRecord: what it does not know is left out', async (t) => {
  t.strictSame(parseMetadata(changed('note', 'from elsewhere'), 'a.json'), SAMPLE_RECORD)
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
  ['images.0.platform', '--privileged=\u001b[31m'],
  ['images.0.platform', 'linux/amd64/v2/x/y'],
  ['images.0.created', 'today'],
  ['images.0.created', '1'.repeat(41)],
  ['images.0.repoTags', Array.from({ length: 1001 }, () => 'a:1')],
  ['images.0.layers', Array.from({ length: 1001 }, () => SAMPLE_RECORD.images[0]?.layers[0])],
  ['images', Array.from({ length: 1001 }, () => SAMPLE_RECORD.images[0])],
  ['images.0.index.digest', 'sha256:12'],
  ['images.0.index.sizeBytes', undefined],
  ['images.0.config', undefined],
  ['images.0.config.digest', 'a1'.repeat(32)],
  ['images.0.config.digest', `sha256:${'A1'.repeat(32)}`],
  ['images.0.config.mediaType', undefined],
  ['images.0.config.mediaType', 'text/html; charset=utf-8'],
  ['images.0.manifests', Array.from({ length: 1001 }, () => SAMPLE_RECORD.images[0]?.manifests[0])],
  ['images.0.manifests.0.digest', '--all'],
  ['images.0.manifests.0.mediaType', '\u001b[31m/x'],
  ['images.0.manifests.0.platform', 'linux/amd64;'],
  ['images.0.layers.0.diffId', `sha512:${'a1'.repeat(32)}`],
  ['images.0.layers.0.sizeBytes', -1],
  ['images.0.recompressed', false],
  ['images.0.layers.0.digest', null],
  ['images.0.layers.0.mediaType', 'tar'],
  ['archive.file', '../a.tar.xz'],
  ['archive.file', '/etc/passwd'],
  ['archive.file', 'a\\b'],
  ['archive.file', 'a\0b'],
  ['archive.file', ''],
  ['archive.file', 'a\nb'],
  ['archive.file', 'gpj.\u202ezx.rat'],
  ['archive.file', 'ä'.repeat(128)],
  ['archive.file', '.'],
  ['archive.file', '..'],
  ['archive.sizeBytes', 1.5],
  ['archive.sizeBytes', 2 ** 53],
  ['archive.sizeBytes', '1'],
  ['archive.sha256', `sha256:${'a1'.repeat(32)}`],
  ['archive.codec', 'gzip'],
  ['archive.level', 23],
  ['archive.level', -1],
  ['archive.level', 5.5],
  ['archive.compressor.name', 1],
  ['archive.compressor.version', undefined],
  ['archive.compressor.version', '5.4\u009b1A'],
  ['tar.sizeBytes', null],
  ['tar.contentMd5', 'a1'],
  ['tar.modified', 1],
  ['segments', {}],
  ['segments.0.sha256', ''],
  ['segments.0.offsetBytes', -1],
  ['segments.0.tarSizeBytes', undefined],
]

for (const [path, value] of BAD_VALUES) {
  t.test(`parseRecord: refuses ${path}: ${JSON.stringify(value)?.slice(0, 60)}`, async (t) => {
    t.throws(() => parseMetadata(changed(path, value), 'a.json'), {
      code: 'BAD_RECORD',
      message: `read "a.json": ${path}`,
      hint: 'the archive itself may be whole: remove its metadata to use it without that proof',
    })
  })
}

/** Metadata of an archive of 1000 bytes, a tar of 10240, in these segments; `[offset, size, tar offset, tar size]`. */
function cut(segments: readonly (readonly number[])[]): string {
  const digest = SAMPLE_RECORD.archive.sha256
  return changed(
    'segments',
    segments.map(([offsetBytes, sizeBytes, tarOffsetBytes, tarSizeBytes]) => {
      return { offsetBytes, sizeBytes, sha256: digest, tarOffsetBytes, tarSizeBytes }
    }),
  )
}

t.test('parseRecord: segments that are all of the archive and of the tar', async (t) => {
  const parts = [
    [0, 1, 0, 0],
    [1, 0, 0, 512],
    [1, 998, 512, 9727],
    [999, 1, 10239, 1],
  ]
  t.equal(parseMetadata(cut(parts), 'a.json').segments.length, 4)
})

// what is wrong with the segments, they, the message
const BAD_CUTS: [string, number[][], string][] = [
  ['are none', [], 'end of the segments: got 0, want 1000'],
  ['overlap', [[0, 600, 0, 5000], [599, 401, 5000, 5240]], 'segments.1.offsetBytes: got 599, want 600'],
  ['leave a gap', [[0, 600, 0, 5000], [601, 399, 5000, 5240]], 'segments.1.offsetBytes: got 601, want 600'],
  ['begin late', [[1, 999, 0, 10240]], 'segments.0.offsetBytes: got 1, want 0'],
  ['are in another order', [[600, 400, 5000, 5240], [0, 600, 0, 5000]], 'segments.0.offsetBytes: got 600, want 0'],
  ['are one twice', [[0, 1000, 0, 10240], [0, 1000, 0, 10240]], 'segments.1.offsetBytes: got 0, want 1000'],
  ['end past the archive', [[0, 1001, 0, 10240]], 'end of the segments: got 1001, want 1000'],
  ['end before the archive', [[0, 999, 0, 10240]], 'end of the segments: got 999, want 1000'],
  ['overlap in the tar', [[0, 600, 0, 5000], [600, 400, 4999, 5241]], 'segments.1.tarOffsetBytes: got 4999, want 5000'],
  ['leave a gap in the tar', [[0, 600, 0, 5000], [600, 400, 5001, 5239]], 'segments.1.tarOffsetBytes: got 5001, want 5000'],
  ['begin late in the tar', [[0, 1000, 512, 9728]], 'segments.0.tarOffsetBytes: got 512, want 0'],
  ['end past the tar', [[0, 1000, 0, 10241]], 'end of the segments in the tar: got 10241, want 10240'],
  ['end before the tar', [[0, 1000, 0, 10239]], 'end of the segments in the tar: got 10239, want 10240'],
  ['are larger than a number can tell', [[0, 2 ** 53 - 1, 0, 0], [2 ** 53 - 1, 2 ** 53 - 1, 0, 0]], 'end of the segments: got '],
] // prettier-ignore

for (const [what, segments, message] of BAD_CUTS) {
  t.test(`parseRecord: refuses segments that ${what}`, async (t) => {
    t.throws(() => parseMetadata(cut(segments), 'a.json'), {
      code: 'BAD_RECORD',
      message: `read "a.json": ${message}`,
    })
  })
}

for (const count of [10_000, 10_001]) {
  t.test(
    `parseRecord: ${count} segments are ${count > 10_000 ? 'too many' : 'fine'}`,
    async (t) => {
      const empty = Array.from({ length: count - 1 }, () => [1000, 0, 10240, 0])
      const text = cut([[0, 1000, 0, 10240], ...empty])
      if (count > 10_000) {
        t.throws(() => parseMetadata(text, 'a.json'), {
          code: 'BAD_RECORD',
          message: 'segments: are too many',
        })
      } else t.equal(parseMetadata(text, 'a.json').segments.length, count)
    },
  )
}

const REQUIRED: ExternalLayer = {
  digest: sha256('required'),
  sizeBytes: 2048,
  path: `blobs/sha256/${hexOf(sha256('required'))}`,
  archive: 'earlier-1.0.tar.xz',
}

t.test('formatRecord, parseRecord: an increment gives its requirements back', async (t) => {
  const metadata = { ...SAMPLE_RECORD, requires: [REQUIRED, { ...REQUIRED, path: 'a/layer.tar' }] }
  t.strictSame(parseMetadata(formatMetadata(metadata), 'a.json'), metadata)
  t.equal(Object.keys(JSON.parse(formatMetadata(metadata))).at(-1), 'requires')
})

// key, value
const BAD_REQUIREMENTS: [string, unknown][] = [
  ['digest', hexOf(REQUIRED.digest)],
  ['digest', undefined],
  ['sizeBytes', -1],
  ['sizeBytes', '1'],
  ['path', ''],
  ['path', '/etc/passwd'],
  ['path', '..'],
  ['path', '../layer.tar'],
  ['path', 'a/../../layer.tar'],
  ['path', 'a/..'],
  ['path', 'a\0b'],
  ['path', 'a'.repeat(101)],
  ['path', 1],
  ['archive', '../a.tar.xz'],
  ['archive', 'dir/a.tar.xz'],
  ['archive', '..'],
  ['archive', ''],
  ['archive', undefined],
]

for (const [key, value] of BAD_REQUIREMENTS) {
  const shown = JSON.stringify(value)?.slice(0, 20)
  t.test(`parseRecord: refuses requires.0.${key}: ${shown}`, async (t) => {
    const text = changed('requires', [{ ...REQUIRED, [key]: value }])
    t.throws(() => parseMetadata(text, 'a.json'), {
      code: 'BAD_RECORD',
      message: `read "a.json": requires.0.${key}: `,
    })
  })
}

for (const value of [null, {}, 'a', [1]]) {
  t.test(`parseRecord: refuses requires: ${JSON.stringify(value)}`, async (t) => {
    t.throws(() => parseMetadata(changed('requires', value), 'a.json'), {
      code: 'BAD_RECORD',
      message: 'read "a.json": requires',
    })
  })
}

for (const path of ['a', 'a/layer.tar', '.../x', 'a..b', 'ä/..b', 'a'.repeat(100)]) {
  t.test(`parseRecord: takes the path ${path.slice(0, 20)} inside a tar`, async (t) => {
    const text = changed('requires', [{ ...REQUIRED, path }])
    t.equal(parseMetadata(text, 'a.json').requires?.[0]?.path, path)
  })
}

t.test('parseRecord: refuses a newer schema, and tells what to use', async (t) => {
  t.throws(() => parseMetadata('{"schema":3,"other":true}', 'a.json'), {
    code: 'BAD_RECORD',
    message: 'read "a.json": schema: got 3, want at most 2',
    hint: 'use the tools that came with the archives',
  })
})

const OLD = join(import.meta.dirname, '../../fixtures/schema-1')
const oldFile = (file: string): string => readFileSync(join(OLD, file), 'utf8')

for (const file of globSync('*/*.json', { cwd: OLD })) {
  t.test(`parseRecord: ${file} of schema 1 is read, and written as it was`, async (t) => {
    const text = oldFile(file)
    t.equal(formatMetadata(parseMetadata(text, file)), text)
  })
}

// file of schema 1, what is known of its image
const OLD_FILES: [string, (image: Record<string, unknown>) => object][] = [
  ['graph-driver/example.com_tool-1.0.tar.zst.json', () => ({ manifests: [] })],
  [
    'containerd/example.com_tool-1.0.tar.zst.json',
    ({ imageId }) => ({ manifests: [{ digest: imageId }], imageId }),
  ],
  ['recompressed/example.com_tool-1.0.tar.zst.json', () => ({ recompressed: true })],
]

for (const [file, expect] of OLD_FILES) {
  t.test(`parseRecord: ${file} of schema 1 in the shape of today`, async (t) => {
    const text = oldFile(file)
    const [old] = JSON.parse(text).images
    const { schema, images } = parseMetadata(text, file)
    t.equal(schema, 1)
    const [image] = images
    t.match(image, { config: { digest: old.configDigest }, ...expect(old) })
    t.notOk(image?.index)
    t.strictSame(
      image?.layers,
      old.layers.map(({ diffId, sizeBytes, blobDigest }: Record<string, unknown>) => {
        return { digest: blobDigest ?? diffId, sizeBytes, diffId }
      }),
    )
  })
}

t.test('parseRecord: each schema has its own fields', async (t) => {
  const old = oldFile('containerd/example.com_tool-1.0.tar.zst.json')
  const mixed = [changed('schema', 1), JSON.stringify({ ...JSON.parse(old), schema: 2 })]
  for (const text of mixed) {
    t.throws(() => parseMetadata(text, 'a.json'), { code: 'BAD_RECORD', message: /images\.0\./ })
  }
})

for (const text of ['', '{', 'null', '[]', '"x"', formatMetadata(SAMPLE_RECORD).slice(0, -3)]) {
  t.test(`parseRecord: refuses ${JSON.stringify(text).slice(0, 20)}`, async (t) => {
    t.throws(() => parseMetadata(text, 'a.json'), {
      code: 'BAD_RECORD',
      message: 'read "a.json": ',
    })
  })
}

t.test('formatRecord: does not write what could not be read', async (t) => {
  const archive = { ...SAMPLE_RECORD.archive, file: '../a' }
  t.throws(() => formatMetadata({ ...SAMPLE_RECORD, archive }))
})
