import t from 'tap'

import { listChains } from '../../../lib/engine/lists.ts'
import { sha256 } from '../../fixtures/digest.ts'
import { GRAPH } from '../../fixtures/graph-engine.ts'
import { useScripts } from '../../fixtures/programs-on-path.ts'

const LAYER = sha256(Buffer.from('layer'))

t.test('listChains: very many images', async (t) => {
  // Each has a layer of its own, and a command of more than 128 KiB is none.
  await useScripts(t, {
    docker: `
      if [ "$2" = ls ]; then
        i=0
        while [ "$i" -lt 2001 ]; do printf 'sha256:%064d\\n' "$i"; i=$((i + 1)); done
        exit
      fi
      shift 5
      for id; do echo "[\\"$id\\"]"; done`,
  })
  t.equal((await listChains(GRAPH)).size, 2001)
})

// what is said of the second image, what comes of it
const ENDS: [string, string, object][] = [
  ['gone', 'echo "Error: No such image: sha256:2" >&2; exit 1', { chains: [LAYER] }],
  [
    'damaged',
    'echo "Error response from daemon: stat /var/lib/docker/overlay2/1: no such file or directory" >&2; exit 1',
    { chains: [LAYER] },
  ],
  [
    'one that nobody is there to tell of',
    'echo "Cannot connect to the Docker daemon at unix:///var/run/docker.sock." >&2; exit 1',
    { error: { code: 'ENGINE_DOWN' } },
  ],
  ['one at which the client is killed', 'kill -9 $$', { error: { code: 'ENGINE_FAILED' } }],
]

for (const [what, said, want] of ENDS) {
  t.test(`listChains: an image that is ${what}`, async (t) => {
    await useScripts(t, {
      docker: `
        if [ "$2" = ls ]; then echo sha256:1; echo sha256:2; exit; fi
        echo '["${LAYER}"]'; ${said}`,
    })
    const got = await listChains(GRAPH).then(
      (chains) => ({ chains: [...chains] }),
      (error: unknown) => ({ error }),
    )
    t.match(got, want)
  })
}
