import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import t from 'tap'

import { manifestDigests } from '../../../../lib/image/descriptor.ts'
import { BLOBS } from '../../../../lib/image/digest.ts'
import { readImages } from '../../../../lib/image/docker-archive.ts'
import { learnLayout, plainTar } from '../../../../lib/image/uncompress/tar.ts'
import { dockerArchive } from '../../../fixtures/archive-builder.ts'
import { hexOf, sha256 } from '../../../fixtures/digest.ts'
import { digest } from '../../../fixtures/digested-tar.ts'
import {
  describe,
  json,
  OCI,
  ociImage,
  ociIndex,
  ociTar,
  pathOf,
  type OciImage,
  type OciLayer,
} from '../../../fixtures/oci-tar.ts'
import { pseudoRandom } from '../../../fixtures/sample-layers.ts'
import { chunked, tar } from '../../../fixtures/tar-builder.ts'

const OCI_LAYER = `${OCI}.layer.v1.tar`
const DOCKER_LAYER = 'application/vnd.docker.image.rootfs.diff.tar'

const stream = (bytes: Buffer, chunkBytes = 10_000) =>
  Readable.from(chunked(Buffer.from(bytes), chunkBytes))

async function makePlain(bytes: Buffer, chunkBytes?: number): Promise<Buffer | undefined> {
  const layout = await learnLayout(stream(bytes, chunkBytes))
  return layout && buffer(plainTar(stream(bytes, chunkBytes), layout))
}

/** The members of a tar that are blobs and JSON, by their paths, each as often as it is there. */
function membersOf(bytes: Buffer) {
  return [...(digest(bytes).tar.members?.values() ?? [])]
}

const contentOf = (bytes: Buffer, path: string) =>
  JSON.parse(
    membersOf(bytes)
      .find((each) => each.path === path)
      ?.json?.toString() ?? 'null',
  )

const fileOf = (name: string, sizeBytes = 3000) =>
  tar([{ path: name, content: pseudoRandom(name, sizeBytes) }])
const gzipped = (plain: Buffer, mediaType = `${OCI_LAYER}+gzip`, level = 6): OciLayer => ({
  blob: gzipSync(plain, { level }),
  diffId: sha256(plain),
  mediaType,
})
const plainly = (plain: Buffer): OciLayer => ({
  blob: plain,
  diffId: sha256(plain),
  mediaType: OCI_LAYER,
})
const ofOne = (image: OciImage) => ociTar(image, [image.descriptor], image.blobs)

const LAYERS = ['first', 'second', 'third'].map((name) => fileOf(name))
const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = LAYERS

for (const chunkBytes of [1, 511, 513, 10_000]) {
  t.test(`plainTar: chunks of ${chunkBytes} bytes`, async (t) => {
    const layers = [...LAYERS, Buffer.alloc(1024), first]
    const built = dockerArchive({ layers, tags: ['a/tool:1.0'], layout: 'oci-gzip' })
    const plain = (await makePlain(built.archive, chunkBytes)) ?? Buffer.alloc(0)
    const [image] = readImages(digest(plain).tar)
    const want = { config: { digest: built.configDigest }, repoTags: ['a/tool:1.0'] }
    t.match(image, want)
    t.strictSame(
      image?.layers,
      built.diffIds.map((diffId, at) => {
        return { mediaType: OCI_LAYER, digest: diffId, sizeBytes: layers[at]?.length, diffId }
      }),
    )
    t.not(image?.manifests[0]?.digest, built.manifestDigest)
    t.equal(await makePlain(plain), undefined, 'nothing is left to be done')
  })
}

t.test('learnLayout: nothing where all layers are plain, or there is no image', async (t) => {
  for (const layout of ['legacy', 'oci', 'podman'] as const) {
    t.equal(await makePlain(dockerArchive({ layers: LAYERS, tags: [], layout }).archive), undefined)
  }
  t.equal(await makePlain(tar([])), undefined)
  t.equal(await makePlain(tar([{ path: 'a.gz', content: gzipSync(first) }])), undefined)
})

t.test('plainTar: both media types, gzip and zstd, beside what is plain', async (t) => {
  const frames = [second.subarray(0, 999), second.subarray(999)].map((part) =>
    zstdCompressSync(part),
  )
  const zstd = { blob: Buffer.concat(frames), diffId: sha256(second) }
  for (const [type, plainType] of [
    [`${OCI_LAYER}+zstd`, OCI_LAYER],
    [`${DOCKER_LAYER}.zstd`, DOCKER_LAYER],
    [`${DOCKER_LAYER}.gzip`, DOCKER_LAYER],
  ] as const) {
    const layers = [gzipped(first), { ...zstd, mediaType: type }, plainly(fileOf('third'))]
    const plain = (await makePlain(ofOne(ociImage(layers)))) ?? Buffer.alloc(0)
    const [image] = readImages(digest(plain).tar)
    const manifest = contentOf(plain, image?.manifests[0]?.digest.replace('sha256:', BLOBS) ?? '')
    t.strictSame(
      manifest.layers,
      [first, second, fileOf('third')].map((layer, at) =>
        describe(layer, at === 1 ? plainType : OCI_LAYER),
      ),
    )
    t.strictSame(manifest.annotations, { kept: 'as it is' })
    const [docker] = contentOf(plain, 'manifest.json')
    t.strictSame(docker.Layers, [first, second, fileOf('third')].map(pathOf))
    t.strictSame(contentOf(plain, 'index.json').manifests, [
      {
        ...describe(json(manifest), `${OCI}.manifest.v1+json`),
        platform: { architecture: 'amd64' },
      },
    ])
  }
})

t.test('plainTar: what speaks of the compressed form goes', async (t) => {
  const more = {
    annotations: { 'containerd.io/snapshot/stargz/toc.digest': 'sha256:…', mine: 'kept' },
    data: 'H4sI',
  }
  const plain = await makePlain(ofOne(ociImage([{ ...gzipped(first), more }])))
  const [image] = readImages(digest(plain ?? tar([])).tar)
  const path = image?.manifests[0]?.digest.replace('sha256:', BLOBS) ?? ''
  t.strictSame(contentOf(plain ?? tar([]), path).layers, [
    { ...describe(first, OCI_LAYER), annotations: { mine: 'kept' } },
  ])
})

t.test('plainTar: headers stay but for name and size', async (t) => {
  const plain = (await makePlain(ofOne(ociImage([gzipped(first)])))) ?? Buffer.alloc(0)
  const at = plain.indexOf(pathOf(first))
  t.equal(plain.toString('latin1', at + 100, at + 107), '0000444')
})

t.test('plainTar: layers that come to the same are one', async (t) => {
  const same = [gzipped(first), gzipped(first, DOCKER_LAYER + '.gzip', 1), plainly(first)]
  for (const layers of [same, same.slice(0, 2), same.toReversed()]) {
    const image = ociImage(layers)
    const plain = (await makePlain(ofOne(image))) ?? Buffer.alloc(0)
    const names = plain.toString('latin1').split(pathOf(first)).length
    // As often in manifest.json as there are layers, and once in a header.
    t.equal(names - 1, layers.length + 1)
    t.match(readImages(digest(plain).tar), [{ layers: layers.map(({ diffId }) => ({ diffId })) }])
  }
})

t.test('plainTar: a member that comes twice comes once', async (t) => {
  const image = ociImage([gzipped(first)])
  const [blob = Buffer.alloc(0)] = image.blobs
  const twice = ociTar(image, [image.descriptor], image.blobs, [
    { path: pathOf(blob), content: blob },
  ])
  t.strictSame(await makePlain(twice), await makePlain(ofOne(image)))
})

t.test('plainTar: indexes over it, and what they name besides', async (t) => {
  const image = ociImage([gzipped(first), gzipped(second)])
  const absent = ociImage([gzipped(fileOf('absent'))], 'arm64')
  // There by its manifest only, with a layer that the first one has.
  const half = ociImage([gzipped(first), gzipped(fileOf('absent'))], 'riscv64')
  const statement = json({ subject: [{ digest: { sha256: hexOf(image.descriptor.digest) } }] })
  const attestation = ociImage([
    { blob: statement, diffId: sha256(statement), mediaType: 'application/vnd.in-toto+json' },
  ])
  const annotations = {
    'vnd.docker.reference.digest': image.descriptor.digest,
    'vnd.docker.reference.type': 'attestation-manifest',
  }
  const attested = { ...attestation.descriptor, annotations }
  const index = ociIndex([image.descriptor, absent.descriptor, half.descriptor, attested])
  const outer = ociIndex([describe(index, `${OCI}.index.v1+json`)])
  const named = describe(outer, `${OCI}.index.v1+json`, {
    annotations: { name: 'tool' },
    data: 'e30=',
  })
  const blobs = [...image.blobs, half.manifest, ...attestation.blobs, index, outer]
  const plain = (await makePlain(ociTar(image, [named], blobs))) ?? Buffer.alloc(0)
  const [got] = readImages(digest(plain).tar)
  const [indexDigest = '', manifestDigest = ''] = got ? manifestDigests(got) : []
  const newIndex = contentOf(plain, indexDigest.replace('sha256:', BLOBS)).manifests
  t.equal(newIndex[0].digest, manifestDigest)
  t.strictSame(newIndex[0].platform, { architecture: 'amd64' })
  t.strictSame(newIndex[1], absent.descriptor)
  t.strictSame(newIndex[3], attested)
  const [top] = contentOf(plain, 'index.json').manifests
  t.strictSame(top.annotations, { name: 'tool' })
  t.notOk('data' in top)
  t.equal(contentOf(plain, top.digest.replace('sha256:', BLOBS)).manifests[0].digest, indexDigest)
  const halfLayers = contentOf(plain, newIndex[2].digest.replace('sha256:', BLOBS)).layers
  t.equal(halfLayers[0].digest, sha256(first), 'what is there is named as it is there')
  t.equal(halfLayers[1].digest, gzipDigest('absent'))
})

const gzipDigest = (name: string) => sha256(gzipped(fileOf(name)).blob)

t.test('learnLayout: a layer that is not what the config says is told', async (t) => {
  const wrong = ofOne(ociImage([{ ...gzipped(first), diffId: sha256(second) }]))
  const message = new RegExp(`got ${sha256(first)}, want ${sha256(second)}$`)
  await t.rejects(learnLayout(stream(wrong)), { code: 'BAD_IMAGE', message })
  const { blob } = gzipped(first)
  for (const bytes of [blob.subarray(0, -9), Buffer.concat([blob.subarray(0, 20), blob])]) {
    const cut = ofOne(ociImage([{ ...gzipped(first), blob: bytes }]))
    await t.rejects(learnLayout(stream(cut)), { code: 'BAD_IMAGE', message: /^decompress layer / })
  }
})

t.test('learnLayout: what only begins like something compressed means nothing', async (t) => {
  const image = ociImage([gzipped(first)])
  const other = Buffer.from([0x1f, 0x8b, 1, 2, 3, 4])
  const plain = await makePlain(ociTar(image, [image.descriptor], [...image.blobs, other]))
  t.match(readImages(digest(plain ?? tar([])).tar), [{ layers: [{ diffId: sha256(first) }] }])
})

t.test('learnLayout: a tar that stops short is told', async (t) => {
  const bytes = ofOne(ociImage([gzipped(first)]))
  for (const cut of [700, 2000, bytes.length - 1024]) {
    await t.rejects(learnLayout(stream(bytes.subarray(0, cut))), { code: 'TRUNCATED_TAR' })
  }
})

t.test('plainTar: another tar than was learnt is told', async (t) => {
  const image = ociImage([gzipped(first), gzipped(second)])
  const layout = await learnLayout(stream(ofOne(image)))
  if (!layout) throw new Error('nothing was learnt')
  const other = ociImage([gzipped(first)])
  const entries = (blob: Buffer) => [{ path: pathOf(image.blobs[0] ?? blob), content: blob }]
  const damaged = Buffer.from(image.blobs[0] ?? '')
  damaged[damaged.length >> 1] = (damaged[damaged.length >> 1] ?? 0) ^ 1
  const level = gzipped(first, '', 1).blob
  for (const bytes of [
    ofOne(other),
    tar([]),
    tar(entries(damaged)),
    tar(entries(level)),
    tar(entries(gzipped(second).blob)),
    tar(entries(gzipped(fileOf('short', 10)).blob)),
    tar(entries(gzipped(fileOf('long', 30_000)).blob)),
  ]) {
    await t.rejects(buffer(plainTar(stream(bytes), layout)), { code: 'BAD_IMAGE' })
  }
})

t.test('plainTar: can be made again of one layout', async (t) => {
  const bytes = ofOne(ociImage([gzipped(first)]))
  const layout = await learnLayout(stream(bytes))
  if (!layout) throw new Error('nothing was learnt')
  const [once, again] = [
    await buffer(plainTar(stream(bytes), layout)),
    await buffer(plainTar(stream(bytes, 100), layout)),
  ]
  t.ok(once.equals(again))
})
