import { gzipSync } from 'node:zlib'
import t from 'tap'

import { planLayout } from '../../../../lib/image/uncompress/layout.ts'
import { sha256 } from '../../../fixtures/digest.ts'
import { digest } from '../../../fixtures/digested-tar.ts'
import { json, pathOf } from '../../../fixtures/oci-tar.ts'
import { tar } from '../../../fixtures/tar-builder.ts'

const PLAIN = { digest: sha256('layer'), sizeBytes: 'layer'.length }
const LAYER = gzipSync('layer')
const MANIFEST = json({
  config: { digest: sha256('config') },
  layers: [{ mediaType: 'application/x-of-its-own', digest: sha256(LAYER), size: LAYER.length }],
})

const DOCKER = { Config: 'config.json', RepoTags: ['a:1'] }
const OTHERS: [string, unknown][] = [
  ['is something else', {}],
  ['names the layer in another way', [{ ...DOCKER, Layers: ['a/layer.tar'] }]],
  ['names no layer', [{ ...DOCKER, Layers: [] }]],
]

for (const [what, dockerManifest] of OTHERS) {
  t.test(`planLayout: a manifest.json that ${what} stays`, async (t) => {
    const bytes = tar([
      { path: pathOf(LAYER), content: LAYER },
      { path: pathOf(MANIFEST), content: MANIFEST },
      { path: 'index.json', content: json({ manifests: [{ digest: sha256('absent') }] }) },
      { path: 'manifest.json', content: json(dockerManifest) },
    ])
    const { members = new Map() } = digest(bytes).tar
    const { changes } = planLayout(members, new Map([[sha256(LAYER), PLAIN]]))
    t.strictSame([...changes.keys()].toSorted(), [pathOf(LAYER), pathOf(MANIFEST)].toSorted())
    t.match(changes.get(pathOf(LAYER)), { layer: PLAIN })
    t.match(JSON.parse(String(changes.get(pathOf(MANIFEST))?.content)), {
      layers: [{ mediaType: 'application/x-of-its-own', digest: PLAIN.digest, size: 5 }],
    })
  })
}
