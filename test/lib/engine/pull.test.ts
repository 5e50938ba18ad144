import t, { type Test } from 'tap'

import type { Notice } from '../../../lib/core/outcome.ts'
import type { Engine } from '../../../lib/engine/engine.ts'
import { graphDriverStore } from '../../../lib/engine/graph-driver-store.ts'
import { pullImage } from '../../../lib/engine/pull.ts'
import { parseReference } from '../../../lib/image/reference.ts'
import { wrapCommand } from '../../fixtures/faults.ts'

const ENGINE: Engine = {
  name: 'docker',
  store: graphDriverStore(true),
  savesPlatform: false,
  inspectsPlatform: false,
}
const INSPECTED = JSON.stringify([
  { Id: 'sha256:1', Os: 'linux', Architecture: 'amd64', RootFS: { Layers: [] } },
])

/** Pulls from a docker that is a script: `pull` is what it does then. */
async function pull(t: Test, script: string, drawProgress: boolean, stop = new AbortController()) {
  const { PATH } = process.env
  t.teardown(() => (process.env['PATH'] = PATH))
  const answer = `[ "$1" = pull ] || exec echo '${INSPECTED}'`
  Object.assign(
    process.env,
    await wrapCommand(`${t.testdir({})}/bin`, 'docker', `${answer}\n${script}`),
  )
  const notices: Notice[] = []
  const image = await pullImage(ENGINE, parseReference('a:1'), {
    platform: undefined,
    drawProgress,
    notify(notice) {
      notices.push(notice)
      if (notice.type === 'warning') stop.abort()
    },
    signal: stop.signal,
  })
  return { image, notices }
}

t.test('pullImage: what the engine says is handed on', async (t) => {
  const { image, notices } = await pull(t, 'echo Pulling; echo Done', false)
  t.equal(image.id, 'sha256:1')
  t.strictSame(notices, [
    { type: 'output', text: 'Pulling' },
    { type: 'output', text: 'Done' },
  ])
})

t.test('pullImage: or the engine draws it itself', async (t) => {
  const { image, notices } = await pull(t, 'echo "# pulling a:1"', true)
  t.equal(image.id, 'sha256:1')
  t.strictSame(notices, [])
})

t.test('pullImage: told to stop while it waits for the next try', async (t) => {
  const failing = 'echo "dial tcp: i/o timeout" >&2; exit 1'
  await t.rejects(pull(t, failing, false), { code: 'INTERRUPTED' })
})
