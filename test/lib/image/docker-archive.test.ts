import { gzipSync } from 'node:zlib'
import t from 'tap'

import { ToolError } from '../../../lib/core/errors.ts'
import { blobPath, toDigest, type Digest } from '../../../lib/image/digest.ts'
import {
  countUncompared,
  isCompressedLayer,
  readImages,
  type ArchivedImage,
  type ExternalLayer,
} from '../../../lib/image/docker-archive.ts'
import { DOCKER_TYPES, OCI_TYPES } from '../../../lib/image/oci-schemas.ts'
import type { DigestedMember } from '../../../lib/tar/digest.ts'
import { dockerArchive, type ArchiveOptions } from '../../fixtures/archive-builder.ts'
import type { Layout } from '../../fixtures/archive-layouts.ts'
import { hexOf, sha256 } from '../../fixtures/digest.ts'
import { digest } from '../../fixtures/digested-tar.ts'
import { describe, OCI, ociImage, ociIndex, ociTar } from '../../fixtures/oci-tar.ts'
import { tar, type TarEntry } from '../../fixtures/tar-builder.ts'

const LAYOUTS: Layout[] = ['legacy', 'oci', 'oci-gzip', 'podman', 'crane']
const LAYERS = ['base', 'middle', 'top'].map((content) => tar([{ path: content, content }]))
const [BASE = Buffer.alloc(0), MIDDLE = Buffer.alloc(0)] = LAYERS
const TAGS = ['registry.example/tool:1.0']

function images(options: Partial<ArchiveOptions> = {}): ArchivedImage[] {
  return imagesOf(dockerArchive({ layers: LAYERS, tags: TAGS, layout: 'oci', ...options }).archive)
}

function memberOf(archive: Buffer, blob: Digest): DigestedMember | undefined {
  return digest(archive).tar.members?.get(blobPath(blob))
}

function imagesOf(archive: Buffer): ArchivedImage[] {
  return readImages(digest(archive).tar)
}

for (const layout of LAYOUTS) {
  t.test(`readImages: ${layout}: finds the image, every byte accounted for`, async (t) => {
    const built = dockerArchive({ layers: LAYERS, tags: TAGS, layout })
    const [image, another] = imagesOf(built.archive)
    t.equal(another, undefined)
    t.match(image, {
      repoTags: TAGS,
      platform: 'linux/amd64',
      created: '2024-05-01T12:00:00Z',
      config: { digest: built.configDigest },
      manifests: built.manifestDigest === undefined ? [] : [{ digest: built.manifestDigest }],
    })
    t.strictSame(
      image?.layers.map((layer) => layer.diffId),
      built.diffIds,
    )
    const isBlob = layout === 'oci-gzip' || layout === 'crane'
    t.strictSame(
      image?.layers.map(isCompressedLayer),
      LAYERS.map(() => isBlob),
    )
    // What no manifest describes has docker's types.
    const types = built.manifestDigest === undefined ? DOCKER_TYPES : OCI_TYPES
    const compression = types === OCI_TYPES ? '+gzip' : '.gzip'
    t.equal(image?.config.mediaType, types.config)
    t.ok(image?.config.sizeBytes)
    for (const { mediaType } of image?.layers ?? []) {
      t.equal(mediaType, types.layer + (isBlob ? compression : ''))
    }
    for (const manifest of image?.manifests ?? []) {
      t.match(manifest, { mediaType: OCI_TYPES.manifest, platform: 'linux/amd64' })
      t.equal(manifest.sizeBytes, memberOf(built.archive, manifest.digest)?.sizeBytes)
    }
    if (!isBlob) {
      t.strictSame(
        image?.layers.map((layer) => layer.sizeBytes),
        LAYERS.map((layer) => layer.length),
      )
    }
  })

  t.test(`readImages: ${layout}: a layer may come twice`, async (t) => {
    const [image] = images({ layers: [BASE, MIDDLE, BASE], layout })
    t.strictSame(
      image?.layers.map((layer) => layer.diffId),
      [BASE, MIDDLE, BASE].map(sha256),
    )
  })

  t.test(`readImages: ${layout}: an image without a tag has none`, async (t) => {
    t.match(images({ tags: [], layout }), [{ repoTags: [] }])
  })

  t.test(`readImages: ${layout}: any member that is missing or changed is told`, async (t) => {
    const { archive, layerPaths } = dockerArchive({ layers: LAYERS, tags: TAGS, layout })
    const config = configPath(archive)
    for (const path of [...layerPaths, config]) {
      t.throws(() => images({ layout, edit: without(path) }), {
        code: 'BAD_IMAGE',
        message: `check image: "${path}" is missing in the tar`,
      })
      t.throws(() => images({ layout, edit: withContent(path, '{}') }), {
        code: 'BAD_IMAGE',
        message: `"${path}": got ${sha256('{}')}, want sha256:`,
      })
    }
  })
}

for (const platform of ['amd64', 'arm64']) {
  t.test(`readImages: the platform linux/${platform}`, async (t) => {
    t.match(images({ architecture: platform }), [{ platform: `linux/${platform}` }])
  })
}

t.test('readImages: what a config says by null is not said', async (t) => {
  const config = { os: null, architecture: 'arm64', variant: null, created: null, rootfs: {} }
  const entries = [
    { path: 'config.json', content: JSON.stringify({ ...config, rootfs: { diff_ids: null } }) },
    { path: 'manifest.json', content: '[{"Config":"config.json","RepoTags":null,"Layers":null}]' },
  ]
  const [image] = imagesOf(tar(entries))
  t.match(image, { platform: 'arm64', created: undefined, layers: [] })
})

t.test('readImages: an image without layers', async (t) => {
  t.match(images({ layers: [] }), [{ layers: [] }])
})

t.test('readImages: several images, in the order of manifest.json', async (t) => {
  const [first, second] = ['first', 'second'].map((name) => legacyMembers([BASE], [`${name}:1`]))
  const manifest = [...(first?.manifest ?? []), ...(second?.manifest ?? [])]
  const entries = [...(first?.entries ?? []), ...(second?.entries ?? [])]
  const archive = tar([...entries, { path: 'manifest.json', content: JSON.stringify(manifest) }])
  t.match(imagesOf(archive), [{ repoTags: ['first:1'] }, { repoTags: ['second:1'] }])
})

// what, manifest.json
const NO_IMAGES: [string, TarEntry[]][] = [
  ['no manifest.json', [{ path: 'a', content: '{}' }]],
  ['a manifest.json of another kind', [{ path: 'manifest.json', content: '{"name":"app"}' }]],
  ['a manifest.json that is no JSON', [{ path: 'manifest.json', content: '[{' }]],
  ['an empty manifest.json', [{ path: 'manifest.json' }]],
  ['a list of something else', [{ path: 'manifest.json', content: '[1]' }]],
  [
    'a long list of something else',
    [{ path: 'manifest.json', content: `["Config"${',[]'.repeat(600)}]` }],
  ],
  [
    'a list of a million somethings',
    [{ path: 'manifest.json', content: `[1${',[]'.repeat(1_000_000)}]` }],
  ],
]

for (const [what, entries] of NO_IMAGES) {
  t.test(`readImages: ${what} means no saved image`, async (t) => {
    t.strictSame(imagesOf(tar(entries)), [])
  })
}

t.test('readImages: too many members mean no saved image', async (t) => {
  t.strictSame(readImages({ sizeBytes: 1024, endBytes: 0, membersSha256: '' }), [])
})

t.test('readImages: more or fewer layers than the config has are told', async (t) => {
  const { entries, manifest } = legacyMembers(LAYERS, TAGS)
  const [entry] = manifest
  for (const layers of [entry?.Layers.slice(1), [...(entry?.Layers ?? []), 'x']]) {
    const changed = JSON.stringify([{ ...entry, Layers: layers }])
    t.throws(() => imagesOf(tar([...entries, { path: 'manifest.json', content: changed }])), {
      code: 'BAD_IMAGE',
      message: `layers: got ${layers?.length}, want 3`,
    })
  }
})

t.test('readImages: layers in another order are told', async (t) => {
  const { entries, manifest } = legacyMembers(LAYERS, TAGS)
  const changed = JSON.stringify(
    manifest.map((one) => ({ ...one, Layers: one.Layers.toReversed() })),
  )
  t.throws(() => imagesOf(tar([...entries, { path: 'manifest.json', content: changed }])), {
    code: 'BAD_IMAGE',
    message: `got ${sha256(LAYERS[2] ?? '')}, want ${sha256(BASE)}`,
  })
})

// what, the config, the message
const BAD_CONFIGS: [string, string, string][] = [
  ['no JSON', '{', 'read "config" of the image: not JSON'],
  ['a list', '[]', 'of the image: '],
  ['without rootfs', '{"os":"linux"}', 'read "config" of the image: rootfs: '],
  ['with another kind of diff_ids', '{"rootfs":{"diff_ids":"x"}}', 'rootfs.diff_ids: '],
  ['with a diff_id that is none', '{"rootfs":{"diff_ids":["x"]}}', 'diff_ids.0: is not a sha256'],
]

for (const [what, config, message] of BAD_CONFIGS) {
  t.test(`readImages: a config that is ${what} is told`, async (t) => {
    const manifest = '[{"Config":"config","RepoTags":null,"Layers":[]}]'
    const archive = tar([
      { path: 'config', content: config },
      { path: 'manifest.json', content: manifest },
    ])
    t.throws(() => imagesOf(archive), { code: 'BAD_IMAGE', message })
  })
}

t.test('readImages: a tag that is not a valid image name is told', async (t) => {
  const archive = tar([
    { path: 'config', content: '{"rootfs":{}}' },
    { path: 'manifest.json', content: '[{"Config":"config","RepoTags":["--x"],"Layers":[]}]' },
  ])
  const message = 'read "manifest.json" of the image: not a valid image name: "--x"'
  t.throws(() => imagesOf(archive), { code: 'BAD_IMAGE', message })
})

t.test('readImages: a blob that no image needs must fit its name as well', async (t) => {
  const path = `blobs/sha256/${hexOf(sha256('a'))}`
  t.throws(() => images({ edit: (entries) => [...entries, { path, content: 'b' }] }), {
    code: 'BAD_IMAGE',
    message: `check "${path}": got ${sha256('b')}, want ${sha256('a')}`,
  })
  t.equal(images({ edit: (entries) => [...entries, { path, content: 'a' }] }).length, 1)
})

t.test('readImages: a config named by sha256: must fit its name', async (t) => {
  const config = JSON.stringify({ rootfs: { diff_ids: [] } })
  const archiveWith = (path: string): Buffer =>
    tar([
      { path, content: config },
      { path: 'manifest.json', content: JSON.stringify([{ Config: path }]) },
    ])
  t.match(imagesOf(archiveWith(sha256(config))), [{ platform: '', layers: [], repoTags: [] }])
  t.throws(() => imagesOf(archiveWith(sha256('other'))), { code: 'BAD_IMAGE' })
})

for (const layout of LAYOUTS) {
  const built = dockerArchive({ layers: [BASE, MIDDLE, BASE], tags: TAGS, layout })
  const members = digest(built.archive).tar.members
  const path = built.layerPaths[0] ?? ''
  const { sha256: hex = '', sizeBytes = 0 } = members?.get(path) ?? {}
  const required = { digest: toDigest(hex), sizeBytes, path, archive: 'earlier.tar.xz' }
  const increment = dockerArchive({
    layers: [BASE, MIDDLE, BASE],
    tags: TAGS,
    layout,
    edit: without(path),
  }).archive
  const read = (layer: ExternalLayer): ArchivedImage[] => readImages(digest(increment).tar, [layer])

  t.test(`readImages: ${layout}: a layer that it requires is taken as said`, async (t) => {
    t.strictSame(read(required), imagesOf(built.archive))
    t.strictSame(read({ ...required, path: `./${path}` }), imagesOf(built.archive))
  })

  t.test(`readImages: ${layout}: requires the right layer at the right place`, async (t) => {
    const wrong: [Partial<ExternalLayer>, string][] = [
      [{ digest: sha256('other') }, `got ${sha256('other')}, want sha256:`],
      [{ path: 'else/layer.tar' }, `"${path}" is missing in the tar`],
    ]
    for (const [change, message] of wrong) {
      t.throws(() => read({ ...required, ...change }), { code: 'BAD_IMAGE', message })
    }
  })

  t.test(`readImages: ${layout}: what is in the tar counts, not what is required`, async (t) => {
    const claim = { ...required, digest: sha256('other'), sizeBytes: 1 }
    t.strictSame(readImages(digest(built.archive).tar, [claim]), imagesOf(built.archive))
  })
}

// what, links that stand in place of the layer `a/layer.tar`
const LINKS: [string, TarEntry[]][] = [
  ['a symbolic link', [{ path: 'a/layer.tar', type: 'symlink', linkPath: '../b/./layer.tar' }]],
  ['a hard link', [{ path: 'a/layer.tar', type: 'hardlink', linkPath: './b/layer.tar' }]],
  [
    'a hard link to a symbolic link',
    [
      { path: 'a/layer.tar', type: 'hardlink', linkPath: 'c' },
      { path: 'c', type: 'symlink', linkPath: 'b/layer.tar' },
    ],
  ],
]

for (const [what, links] of LINKS) {
  t.test(`readImages: a layer that is ${what} is found`, async (t) => {
    t.match(imagesOf(linkedArchive(links)), [{ layers: [{ diffId: sha256(BASE) }] }])
  })
}

// what, links that lead nowhere
const BROKEN_LINKS: [string, TarEntry[]][] = [
  ['a link to itself', [{ path: 'a/layer.tar', type: 'symlink', linkPath: 'layer.tar' }]],
  ['a link out of the tar', [{ path: 'a/layer.tar', type: 'symlink', linkPath: '../../b/no' }]],
  ['a directory', [{ path: 'a/layer.tar', type: 'directory' }]],
  [
    'a link longer than a path can be',
    [
      {
        path: 'a/layer.tar',
        type: 'symlink',
        linkPath: `${'x/../'.repeat(1000)}../b/layer.tar`,
        format: 'gnu-long',
      },
    ],
  ],
  ['a fifo', [{ path: 'a/layer.tar', type: 'fifo' }]],
]

for (const [what, links] of BROKEN_LINKS) {
  t.test(`readImages: a layer that is ${what} is missing`, async (t) => {
    t.throws(() => imagesOf(linkedArchive(links)), {
      code: 'BAD_IMAGE',
      message: 'check image: "a/layer.tar" is missing in the tar',
    })
  })
}

interface ManifestEntry {
  readonly Config: string
  readonly RepoTags: readonly string[]
  readonly Layers: readonly string[]
}

/** The members of a small image, and its entry for manifest.json apart. */
function legacyMembers(
  layers: readonly Buffer[],
  tags: readonly string[],
): { entries: TarEntry[]; manifest: ManifestEntry[] } {
  const config = JSON.stringify({ tags, rootfs: { diff_ids: layers.map(sha256) } })
  const Config = `${hexOf(sha256(config))}.json`
  const Layers = layers.map((layer) => `${hexOf(sha256(layer))}/layer.tar`)
  const entries = layers.map((content, n) => ({ path: Layers[n] ?? '', content }))
  return {
    entries: [...entries, { path: Config, content: config }],
    manifest: [{ Config, RepoTags: tags, Layers }],
  }
}

/** An image with one layer, `a/layer.tar`, whose bytes lie at `b/layer.tar`. */
function linkedArchive(links: readonly TarEntry[]): Buffer {
  const manifest = [{ Config: 'config', RepoTags: null, Layers: ['a/layer.tar'] }]
  return tar([
    ...links,
    { path: 'b/layer.tar', content: BASE },
    { path: 'config', content: JSON.stringify({ rootfs: { diff_ids: [sha256(BASE)] } }) },
    { path: 'manifest.json', content: JSON.stringify(manifest) },
  ])
}

function configPath(archive: Buffer): string {
  const member = digest(archive).tar.members?.get('manifest.json')
  return JSON.parse(member?.json?.toString() ?? '')[0].Config
}

function without(path: string): (entries: TarEntry[]) => TarEntry[] {
  return (entries) => entries.filter((entry) => entry.path !== path)
}

function withContent(path: string, content: string): (entries: TarEntry[]) => TarEntry[] {
  return (entries) => entries.map((entry) => (entry.path === path ? { ...entry, content } : entry))
}

t.test('readImages: what could not stand in its metadata is refused, or not told', async (t) => {
  const many = Array.from({ length: 1001 }, (_, n) => `registry.example/tool:${n}`)
  t.throws(() => images({ tags: many }), {
    code: 'BAD_IMAGE',
    message: 'check image: tags: got 1001, want at most 1000',
  })
  t.throws(() => images({ architecture: 'amd64\u001b[2J' }), {
    code: 'BAD_IMAGE',
    message: /: platform: got "linux\/amd64/,
  })
  t.notHas(images({ created: 'today' })[0], { created: String })
  const image = ociImage([{ blob: BASE, diffId: sha256(BASE), mediaType: `${OCI}.layer.v1.tar` }])
  const indexes = Array.from({ length: 1001 }, (_, n) => ociIndex([{ ...image.descriptor, n }]))
  t.throws(() => imagesOf(ociTar(image, [image.descriptor], [...image.blobs, ...indexes])), {
    code: 'BAD_IMAGE',
    message: 'check image: manifests: got 1002, want at most 1000',
  })
})

// A layer whose bytes are not those that the config was made of, in an OCI layout
// whose own digests are right.
const WRONG = Buffer.from('another layer')
const falseLayer = (blob: Buffer): Buffer => {
  const image = ociImage([{ blob, diffId: sha256(BASE), mediaType: `${OCI}.layer.v1.tar+gzip` }])
  return ociTar(image, [image.descriptor], image.blobs)
}

t.test('readImages: a layer that is not compressed has to be its diffID', async (t) => {
  for (const blob of [WRONG, Buffer.alloc(0), Buffer.of(0x1f)]) {
    t.throws(() => imagesOf(falseLayer(blob)), {
      code: 'BAD_IMAGE',
      message: `got ${sha256(blob)}, want ${sha256(BASE)}`,
    })
  }
  t.match(imagesOf(falseLayer(gzipSync(WRONG))), [{ layers: [{ diffId: sha256(BASE) }] }])
})

t.test('readImages: a compressed layer is what it was decompressed to', async (t) => {
  const blob = gzipSync(BASE)
  const { tar: read } = digest(falseLayer(blob))
  const plain = { digest: sha256(BASE), sizeBytes: BASE.length }
  const decodedTo = (layer: typeof plain | ToolError) => ({
    ...read,
    decoded: new Map([[sha256(blob), layer]]),
  })
  t.equal(countUncompared(readImages(read), read), 1)
  const right = decodedTo(plain)
  t.equal(countUncompared(readImages(right), right), 0)
  const wrong = decodedTo({ ...plain, digest: sha256(WRONG) })
  t.throws(() => readImages(wrong), {
    code: 'BAD_IMAGE',
    message: `decompressed: got ${sha256(WRONG)}, want ${sha256(BASE)}`,
  })
  t.throws(() => readImages(decodedTo(new ToolError('BAD_IMAGE', 'cut off'))), /cut off/)
  const unknown = decodedTo(new ToolError('NO_COMPRESSOR', 'no xz'))
  t.equal(countUncompared(readImages(unknown), unknown), 1)
})

t.test('readImages: a platform is that of a manifest, not of an index', async (t) => {
  const image = ociImage([{ blob: BASE, diffId: sha256(BASE), mediaType: `${OCI}.layer.v1.tar` }])
  const indexes = [1, 2].map((n) => ociIndex([{ ...image.descriptor, n }]))
  const tops = indexes.map((index) => describe(index, `${OCI}.index.v1+json`))
  const [read] = imagesOf(ociTar(image, tops, [...image.blobs, ...indexes]))
  const [manifest, other] = read?.manifests ?? []
  t.match(manifest, { digest: image.descriptor.digest, platform: 'linux/amd64' })
  t.notHas(other, { platform: String })
  t.strictSame(
    new Set([read?.index?.digest, other?.digest]),
    new Set(tops.map((top) => top.digest)),
  )
})
