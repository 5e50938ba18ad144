import t from 'tap'

import { readImages } from '../../../lib/image/docker-archive.ts'
import { dockerArchive } from '../../fixtures/archive-builder.ts'
import type { Layout } from '../../fixtures/archive-layouts.ts'
import { digest } from '../../fixtures/digested-tar.ts'
import { tar, type TarEntry } from '../../fixtures/tar-builder.ts'

const LAYERS = ['base', 'top'].map((content) => tar([{ path: content, content }]))

/** Reads an image whose members were changed. */
function read(layout: Layout, edit: (entries: TarEntry[]) => TarEntry[]): number {
  const { archive } = dockerArchive({ layers: LAYERS, tags: ['tool:1.0'], layout, edit })
  return readImages(digest(archive).tar).length
}

const isLayer = ({ path, content }: TarEntry): boolean =>
  content !== undefined && LAYERS.some((layer) => layer.equals(Buffer.from(content))) && path !== ''
const first = (entries: TarEntry[], isWanted: (entry: TarEntry) => boolean): TarEntry =>
  entries.find(isWanted) ?? { path: 'none' }
const at =
  (path: string) =>
  (entries: TarEntry[]): TarEntry =>
    first(entries, (entry) => entry.path === path)
const withMore = (entries: TarEntry[], ...more: TarEntry[]): TarEntry[] => [...entries, ...more]

// what, how the members are changed, what the error says
const REFUSED: [string, Layout, (entries: TarEntry[]) => TarEntry[], RegExp][] = [
  ...[
    'manifest.json',
    './manifest.json',
    'x/../manifest.json',
    '/manifest.json',
    './/manifest.json',
  ].map((path): (typeof REFUSED)[number] => [
    `another manifest.json first, as ${path}`,
    'oci',
    (entries) => [{ path, content: '[]' }, ...entries],
    /"manifest.json" stands in the tar more than once/,
  ]),
  ...['index.json', 'oci-layout', 'repositories'].map((path): (typeof REFUSED)[number] => [
    `another ${path} later`,
    'oci',
    (entries) => withMore(entries, { path: `/${path}`, content: '{}' }),
    new RegExp(`"${path}" stands in the tar more than once`),
  ]),
  [
    'another layer by its path',
    'legacy',
    (entries) => [{ path: `./${first(entries, isLayer).path}`, content: 'x' }, ...entries],
    /layer.tar" stands in the tar more than once/,
  ],
  [
    'a link in place of a layer',
    'podman',
    (entries) => [
      { path: first(entries, isLayer).path, type: 'symlink', linkPath: 'x' },
      ...entries,
    ],
    /\.tar" stands in the tar more than once/,
  ],
  [
    'another blob, of which nobody speaks',
    'oci',
    (entries) => withMore(entries, { path: 'blobs/a' }, { path: 'blobs/a', content: 'a' }),
    /"blobs\/a" stands/,
  ],
  [
    'a file in place of all blobs',
    'oci',
    (entries) => withMore(entries, { path: './blobs' }),
    /"blobs" stands/,
  ],
  [
    'a file below a link',
    'legacy',
    (entries) => [
      { path: 'x', type: 'symlink', linkPath: '.' },
      ...withMore(entries, { path: 'x/manifest.json', content: '[]' }),
    ],
    /"x\/manifest.json" lies below a link/,
  ],
  [
    'a file below what was a link before',
    'legacy',
    (entries) => [
      { path: 'x', type: 'symlink', linkPath: '.' },
      { path: 'x/manifest.json', content: '[]' },
      ...withMore(entries, { path: 'x', type: 'directory' }),
    ],
    /"x\/manifest.json" lies below a link/,
  ],
  [
    'an index that is a link',
    'oci',
    (entries) => [
      ...entries.filter(({ path }) => path !== 'index.json'),
      { path: 'index.json', type: 'symlink', linkPath: 'x' },
      { ...at('index.json')(entries), path: 'x' },
    ],
    /"index.json" is a link/,
  ],
]

for (const [what, layout, edit, message] of REFUSED) {
  t.test(`checkClashes: ${what} is refused`, async (t) => {
    t.throws(() => read(layout, edit), { code: 'BAD_IMAGE', message })
  })
}

for (const layout of ['legacy', 'oci', 'oci-gzip', 'podman', 'crane'] as const) {
  t.test(`checkClashes: ${layout}: what is there twice, but alike, may be`, async (t) => {
    t.equal(
      read(layout, (entries) => [...entries, ...entries]),
      1,
    )
  })
}

t.test('checkClashes: two of what nobody reads may differ', async (t) => {
  const notes = [{ path: 'README' }, { path: './README', content: 'more' }]
  t.equal(
    read('oci', (entries) => withMore(entries, ...notes)),
    1,
  )
})

t.test('checkClashes: a tar that is no image may have anything', async (t) => {
  const entries: TarEntry[] = [
    { path: 'blobs', type: 'symlink', linkPath: '.' },
    { path: 'blobs/a' },
    { path: 'blobs/a', content: 'a' },
    { path: 'index.json' },
    { path: 'index.json', content: '{' },
  ]
  t.strictSame(readImages(digest(tar(entries)).tar), [])
})

t.test('checkClashes: many links and members take no time', async (t) => {
  const names = Array.from({ length: 5000 }, (_, n) => `${'d/'.repeat(40)}${n}`)
  const links = names.map((path): TarEntry => ({
    path: `${path}l`,
    type: 'symlink',
    linkPath: 'x',
  }))
  const files = names.map((path) => ({ path }))
  const edit = (entries: TarEntry[]): TarEntry[] => [...links, ...entries, ...files]
  const built = dockerArchive({ layers: LAYERS, tags: ['tool:1.0'], layout: 'legacy', edit })
  const { tar: many } = digest(built.archive, { md5: false })
  const startMs = performance.now()
  t.equal(readImages(many).length, 1)
  t.ok(performance.now() - startMs < 5000, `it took ${performance.now() - startMs} ms`)
})
