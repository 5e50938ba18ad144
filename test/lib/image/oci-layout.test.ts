import t from 'tap'

import { BLOBS } from '../../../lib/image/digest.ts'
import { readManifests } from '../../../lib/image/oci-layout.ts'
import { OCI_TYPES } from '../../../lib/image/oci-schemas.ts'
import { hexOf, sha256 } from '../../fixtures/digest.ts'
import { digest } from '../../fixtures/digested-tar.ts'
import { tar } from '../../fixtures/tar-builder.ts'

const config = { digest: sha256('config') }
const manifests = ['amd64', 'arm64'].map((name) =>
  JSON.stringify({ config, layers: [{ digest: sha256(name) }] }),
)
const [amd64 = '', arm64 = ''] = manifests
const index = JSON.stringify({ manifests: manifests.map((one) => ({ digest: sha256(one) })) })

const read = (...blobs: string[]) => {
  const entries = blobs.map((content) => ({ path: BLOBS + hexOf(sha256(content)), content }))
  return readManifests(digest(tar(entries)).tar.members ?? new Map())
}

t.test('readManifests: one that stands alone', async (t) => {
  t.strictSame(read(amd64), [
    {
      indexes: [],
      manifest: { mediaType: OCI_TYPES.manifest, digest: sha256(amd64), sizeBytes: amd64.length },
      configDigest: config.digest,
      configType: OCI_TYPES.config,
      layerTypes: new Map([[sha256('amd64'), OCI_TYPES.layer]]),
    },
  ])
})

t.test('readManifests: the index that names it comes first', async (t) => {
  for (const blobs of [
    [amd64, index],
    [index, amd64],
  ]) {
    t.match(read(...blobs), [
      { indexes: [{ digest: sha256(index) }], manifest: { digest: sha256(amd64) } },
    ])
  }
})

t.test('readManifests: an index may name several', async (t) => {
  t.match(read(amd64, arm64, index), [
    { indexes: [{ digest: sha256(index) }], manifest: { digest: sha256(amd64) } },
    { indexes: [{ digest: sha256(index) }], manifest: { digest: sha256(arm64) } },
  ])
})

t.test('readManifests: neither an index of others nor what is no manifest', async (t) => {
  const other = JSON.stringify({ manifests: [{ digest: sha256('other') }] })
  t.match(read(amd64, other, '{}', 'a layer'), [
    { indexes: [], manifest: { digest: sha256(amd64) } },
  ])
  t.strictSame(read(other, '{}', 'a layer'), [])
})
