import t from 'tap'

import { findSocket } from '../../../../lib/engine/docker-api/daemon.ts'
import { listen, listenRaw } from '../../../fixtures/daemon-socket.ts'
import { GRAPH } from '../../../fixtures/graph-engine.ts'

function asking(socketPath: string, id = 'one', name = 'here'): typeof GRAPH {
  return { ...GRAPH, daemon: { socketPath, id, name } }
}

t.test('findSocket: that of the daemon that the client asks', async (t) => {
  let said = JSON.stringify({ ID: 'one', Name: 'here' })
  const socketPath = await listen(t, ({ url }, answer) => {
    answer.end(url === '/info' ? said : '')
  })
  t.equal(await findSocket(asking(socketPath)), socketPath)
  t.equal(await findSocket(asking(socketPath, 'another')), undefined, 'that of another one')
  t.equal(await findSocket(asking(socketPath, 'one', 'there')), undefined, 'that of a copy')
  t.equal(await findSocket(GRAPH), undefined, 'none that is known')
  t.equal(await findSocket(asking(`${socketPath}.none`)), undefined, 'none that is there')
  for (said of ['oops', '{}']) t.equal(await findSocket(asking(socketPath)), undefined, said)
  const signal = AbortSignal.abort()
  t.equal(await findSocket({ ...asking(socketPath), signal }), undefined, 'one that was stopped')
})

t.test('findSocket: what is no daemon', async (t) => {
  t.equal(await findSocket(asking(await listenRaw(t, 'hello\n'))), undefined)
})
