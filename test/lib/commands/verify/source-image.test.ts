import t from 'tap'

import { findSourceImage } from '../../../../lib/commands/verify/source-image.ts'
import { containerdStore } from '../../../../lib/engine/containerd-store.ts'
import { EngineSource } from '../../../../lib/engine/source.ts'
import { sha256 } from '../../../fixtures/digest.ts'
import { GRAPH } from '../../../fixtures/graph-engine.ts'
import { useScripts } from '../../../fixtures/programs-on-path.ts'
import { SAMPLE_RECORD } from '../../../fixtures/sample-record.ts'

const SOURCE = new EngineSource(GRAPH)
const CONTAINERD = new EngineSource({ ...GRAPH, store: containerdStore(true) })
const NONE = async () => []
const IMAGE = [{ Id: 'sha256:1', Os: 'linux', Architecture: 'amd64', RootFS: { Layers: [] } }]

t.test('findSourceImage: of an archive without metadata, by its file name', async (t) => {
  // The first is no reference here, though an engine may have it.
  await useScripts(t, {
    docker: `
case "$*" in
  'image ls'*) printf '%s\\n' 'MYHOST/foo:1' 'b:1' '<none>:<none>' 'a:1' ;;
  *' a:1') echo '${JSON.stringify(IMAGE)}' ;;
  *) echo No such image >&2; exit 1 ;;
esac`,
  })
  const target = (name: string) => ({ archive: `carry/${name}`, label: name })
  t.match(await findSourceImage(SOURCE, target('a-1.tar.xz'), undefined, NONE), {
    name: 'a:1',
    image: { id: 'sha256:1' },
  })
  t.equal(await findSourceImage(SOURCE, target('c-1.tar.xz'), undefined, NONE), undefined)
})

t.test('findSourceImage: another image is named as the store names its own', async (t) => {
  const [saved] = SAMPLE_RECORD.images
  const name = saved?.repoTags[0]
  const other = { ...IMAGE[0], Id: sha256('other'), RootFS: { Layers: [sha256('other layer')] } }
  const manifest = { mediaType: 'application/vnd.oci.image.manifest.v1+json', size: 1 }
  const target = { archive: 'carry/a-1.tar.xz', label: 'a-1.tar.xz' }
  for (const [source, shown, want] of [
    [SOURCE, other, saved?.config.digest],
    [CONTAINERD, { ...other, Descriptor: manifest }, saved?.manifests[0]?.digest],
  ] as const) {
    await useScripts(t, { docker: `echo '${JSON.stringify([shown])}'` })
    await t.rejects(findSourceImage(source, target, SAMPLE_RECORD, NONE), {
      code: 'MISMATCH',
      message: `verify "${name}": got ${want} (${saved?.platform}) in the archive, the engine has ${other.Id} (linux/amd64)`,
    })
  }
})
