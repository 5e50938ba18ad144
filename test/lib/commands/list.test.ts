import { join } from 'node:path'
import t from 'tap'

import { countShared, inventory } from '../../../lib/commands/list.ts'
import type { Notice } from '../../../lib/core/outcome.ts'
import { type ArchiveMetadata, formatMetadata } from '../../../lib/delivery/metadata.ts'
import { hexOf, sha256 } from '../../fixtures/digest.ts'
import { PLAIN } from '../../fixtures/plain-delivery.ts'
import { SAMPLE_RECORD } from '../../fixtures/sample-record.ts'

const { signal } = new AbortController()

async function list(dir: string) {
  const notices: Notice[] = []
  const notify = (notice: Notice) => notices.push(notice)
  return { outcomes: await collect(inventory({ ...PLAIN, dir }, { notify, signal })), notices }
}

async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const value of values) all.push(value)
  return all
}

t.test('inventory: each archive by its metadata, and all of them together', async (t) => {
  const dir = t.testdir({
    'a.tar.xz': 'an archive',
    'a.tar.xz.json': formatMetadata(SAMPLE_RECORD),
    'b.tar.xz': 'without metadata',
  })
  const { outcomes, notices } = await list(dir)
  t.match(outcomes, [
    { image: 'registry.example/tool:1.0', archive: 'a.tar.xz', archiveBytes: 10, tarBytes: 10240 },
    { image: 'b.tar.xz', archive: 'b.tar.xz', archiveBytes: 16 },
    { image: 'total', archiveBytes: 26 },
    { image: 'total, shared layers once' },
  ])
  t.ok(outcomes.every(({ result }) => result === 'listed'))
  t.strictSame(notices, [])
})

t.test('inventory: bad metadata is told, and its archive listed', async (t) => {
  const dir = t.testdir({ 'a.tar.xz': 'an archive', 'a.tar.xz.json': '{}' })
  const { outcomes, notices } = await list(dir)
  t.match(outcomes, [{ image: 'a.tar.xz', archiveBytes: 10 }, {}, {}])
  t.match(notices, [{ type: 'warning', text: /a\.tar\.xz\.json/ }])
})

t.test('inventory: what cannot be read is told, and the others are listed', async (t) => {
  const dir = t.testdir({
    'a.tar.xz': 'an archive',
    'a.tar.xz.json': {},
    'directory.tar.xz': {},
    'gone.tar.xz': t.fixture('symlink', 'nowhere'),
  })
  const { outcomes, notices } = await list(dir)
  t.match(outcomes, [{ image: 'a.tar.xz', archiveBytes: 10 }, { image: 'total' }, {}])
  t.match(notices, [
    { type: 'warning', text: `read "${dir}/a.tar.xz.json": got a directory` },
    { type: 'warning', text: `read "${dir}/directory.tar.xz": got a directory` },
    { type: 'warning', text: `read "${dir}/gone.tar.xz": got a symbolic link` },
  ])
})

t.test('inventory: what is missing fails, before the totals', async (t) => {
  const listed = `${'0'.repeat(64)}  b.tar.xz\n`
  const dir = t.testdir({ 'a.tar.xz': 'an archive', SHA256SUMS: listed })
  const { outcomes } = await list(dir)
  t.match(outcomes, [
    { image: 'a.tar.xz', result: 'listed' },
    { image: 'b.tar.xz', result: 'failed', error: { code: 'NO_ARCHIVE' } },
    { image: 'total' },
    { image: 'total, shared layers once' },
  ])
  const empty = t.testdir({ SHA256SUMS: listed })
  t.match((await list(empty)).outcomes, [{ image: 'b.tar.xz', result: 'failed' }, {}, {}])
})

t.test('inventory: nothing there', async (t) => {
  const dir = t.testdir({ 'a.txt': '' })
  await t.rejects(list(dir), { code: 'NO_ARCHIVE' })
  await t.rejects(list(join(dir, 'none')), { code: 'NO_DIRECTORY' })
})

const TAR_BYTES = 10
const ARCHIVE_BYTES = 4

/** The metadata of an archive with a segment for each layer that is not required. */
function metadata(layers: readonly string[], more: Partial<ArchiveMetadata> = {}): ArchiveMetadata {
  const required = new Set(more.requires?.map(({ digest }) => digest))
  const own = layers.map((layer) => sha256(layer)).filter((digest) => !required.has(digest))
  const image = {
    repoTags: ['tag:1'],
    platform: 'linux/amd64',
    manifests: [],
    config: { digest: sha256('config') },
    layers: layers.map((layer) => {
      return { digest: sha256(layer), sizeBytes: TAR_BYTES, diffId: sha256(layer) }
    }),
  }
  const segments = [...own, undefined].map((layerDigest, index) => ({
    offsetBytes: index * ARCHIVE_BYTES,
    sizeBytes: ARCHIVE_BYTES,
    sha256: hexOf(sha256('segment')),
    tarOffsetBytes: index * TAR_BYTES,
    tarSizeBytes: TAR_BYTES,
    ...(layerDigest !== undefined && { layerDigest }),
  }))
  const tar = { sizeBytes: segments.length * TAR_BYTES }
  return { ...SAMPLE_RECORD, images: [image], tar, segments, ...more }
}

const held = (name: string, of: ArchiveMetadata | undefined) => {
  return { name, sizeBytes: of ? of.segments.length * ARCHIVE_BYTES : 7, metadata: of }
}

t.test('countShared: a layer that two archives hold counts once in the end', async (t) => {
  const lines = countShared([held('one', metadata(['a', 'b'])), held('two', metadata(['b', 'c']))])
  t.match(lines, [
    { archive: 'one', image: 'tag:1', tarBytes: 30, holding: { layers: 2, sharedLayers: 1 } },
    { archive: 'two', image: 'tag:1', tarBytes: 30, holding: { layers: 2, sharedLayers: 1 } },
    { image: 'total', tarBytes: 60, archiveBytes: 24, holding: { layers: 3, sharedLayers: 1 } },
    { image: 'total, shared layers once', tarBytes: 50, archiveBytes: 20 },
  ])
})

t.test('countShared: what an increment leaves out it does not hold', async (t) => {
  const digest = sha256('a')
  const requires = [{ digest, sizeBytes: TAR_BYTES, path: 'a/layer.tar', archive: 'full.tar.xz' }]
  const [, increment, total] = countShared([
    held('full.tar.xz', metadata(['a'])),
    held('increment', metadata(['a', 'b'], { requires })),
  ])
  t.match(increment?.holding, { layers: 2, sharedLayers: 0, incrementOf: ['full.tar.xz'] })
  t.match(total?.holding, { layers: 2, sharedLayers: 0 })
})

t.test('countShared: without metadata the size is known, and no more', async (t) => {
  const [line, total] = countShared([held('bare', undefined)])
  t.strictSame(line, { image: 'bare', archive: 'bare', archiveBytes: 7 })
  t.match(total, { tarBytes: 0, archiveBytes: 7 })
})

t.test(
  'countShared: the image is called by its reference, else by its tag or its archive',
  async (t) => {
    const [image] = metadata([]).images
    const images = image
      ? [
          { ...image, reference: 'asked/for:1' },
          { ...image, repoTags: [] },
        ]
      : []
    const [two, none] = countShared([
      held('two', metadata([], { images })),
      held('none', metadata([], { images: [] })),
    ])
    t.equal(two?.image, 'asked/for:1, two')
    t.equal(none?.image, 'none')
    t.equal(none?.holding?.created, undefined)
  },
)
