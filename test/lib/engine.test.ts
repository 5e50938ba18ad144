import t from 'tap'

import { findEngine, listChains, type Engine } from '../../lib/engine.ts'
import { sha256 } from '../fixtures/digest.ts'
import { useScripts } from '../fixtures/programs-on-path.ts'

const { signal } = new AbortController()

// what a client says, ending well, though no daemon answered it
const SAID: [string, string][] = [
  ['nothing', 'exit 0'],
  ['no JSON', 'echo oops'],
  ['no version', `echo '{"ServerVersion":""}'`],
  ['something else', 'echo []'],
]

for (const [what, script] of SAID) {
  t.test(`findEngine: a client that says ${what}`, async (t) => {
    await useScripts(t, { docker: script })
    await t.rejects(findEngine(undefined, signal), {
      code: 'ENGINE_DOWN',
      message: 'ask docker: cannot connect to the docker daemon',
    })
  })
}

t.test('findEngine: what is asked ends with the signal', async (t) => {
  await useScripts(t, { docker: 'exec /bin/sleep 60' })
  const asking = findEngine('docker', AbortSignal.timeout(100))
  await t.rejects(asking, { code: 'INTERRUPTED' })
})

const GRAPH: Engine = {
  name: 'docker',
  idIsConfig: true,
  savesPlatform: false,
  inspectsPlatform: false,
}
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

// how the second question ends, which comes of it
const ENDS: [string, string, object][] = [
  ['of an image that is gone', 'Error: No such image: sha256:2', { chains: [LAYER] }],
  ['with no answer', 'unexpected', { error: { code: 'ENGINE_FAILED' } }],
]

for (const [what, said, want] of ENDS) {
  t.test(`listChains: a question that ends ${what}`, async (t) => {
    await useScripts(t, {
      docker: `
        if [ "$2" = ls ]; then echo sha256:1; echo sha256:2; exit; fi
        echo '["${LAYER}"]'; echo '${said}' >&2; exit 1`,
    })
    const got = await listChains(GRAPH).then(
      (chains) => ({ chains: [...chains] }),
      (error: unknown) => ({ error }),
    )
    t.match(got, want)
  })
}
