import t from 'tap'

import { findSourceImage } from '../../../../lib/commands/verify/source-image.ts'
import { EngineSource } from '../../../../lib/engine/source.ts'
import { GRAPH } from '../../../fixtures/graph-engine.ts'
import { useScripts } from '../../../fixtures/programs-on-path.ts'

const SOURCE = new EngineSource(GRAPH)
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
