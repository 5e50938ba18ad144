import t from 'tap'

import { findEngine } from '../../lib/engine.ts'
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
  await t.rejects(asking, { code: 'ENGINE_FAILED' })
})
