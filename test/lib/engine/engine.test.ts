import t from 'tap'

import { findEngine, inspectImage, tagImage } from '../../../lib/engine/engine.ts'
import { GRAPH } from '../../fixtures/graph-engine.ts'
import { useScripts } from '../../fixtures/programs-on-path.ts'

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

// DOCKER_HOST, the client's context, and where the daemon is on this machine
const HOSTS: [string | undefined, string, string | undefined][] = [
  [undefined, 'default', '/var/run/docker.sock'],
  ['', 'default', '/var/run/docker.sock'],
  ['unix:///run/user/1/docker.sock', 'default', '/run/user/1/docker.sock'],
  ['tcp://127.0.0.1:2375', 'default', undefined],
  ['ssh://a', 'default', undefined],
  [undefined, 'rootless', undefined],
  ['unix://', 'default', '/var/run/docker.sock'],
  ['unix://docker.sock', 'default', undefined],
  ['unix://@docker', 'default', undefined],
]

for (const [host, context, socketPath] of HOSTS) {
  t.test(`findEngine: where the daemon is: ${host}, context ${context}`, async (t) => {
    const info = {
      ID: 'one',
      Name: 'here',
      ServerVersion: '20.10.24',
      ClientInfo: { Context: context },
    }
    await useScripts(t, { docker: `echo '${JSON.stringify(info)}'` })
    const before = process.env['DOCKER_HOST']
    t.teardown(() => setHost(before))
    setHost(host)
    const { daemon } = await findEngine('docker', signal)
    t.strictSame(
      daemon,
      socketPath === undefined ? undefined : { socketPath, id: 'one', name: 'here' },
    )
  })
}

function setHost(host: string | undefined): void {
  if (host === undefined) delete process.env['DOCKER_HOST']
  else process.env['DOCKER_HOST'] = host
}

t.test('findEngine: what is asked ends with the signal', async (t) => {
  await useScripts(t, { docker: 'exec /bin/sleep 60' })
  const asking = findEngine('docker', AbortSignal.timeout(100))
  await t.rejects(asking, { code: 'INTERRUPTED' })
})

// how a question fails, what is said of it
const FAILURES: [string, string, { code?: string; message: string | RegExp }][] = [
  ['words', 'echo "out of luck" >&2; exit 1', { message: 'tag "a:1": out of luck' }],
  ['words on stdout', 'echo no; exit 1', { message: 'tag "a:1": no' }],
  ['a status only', 'exit 3', { code: 'ENGINE_FAILED', message: /: it ended with status 3$/ }],
  ['a signal', 'kill -9 $$', { code: 'ENGINE_FAILED', message: /: it ended with a signal$/ }],
]

for (const [what, docker, want] of FAILURES) {
  t.test(`askEngine: a failure with ${what}`, async (t) => {
    await useScripts(t, { docker })
    await t.rejects(tagImage(GRAPH, 'a:1', 'b:1'), want)
  })
}

t.test('askEngine: a client that is gone by now', async (t) => {
  await useScripts(t, {})
  await t.rejects(tagImage(GRAPH, 'a:1', 'b:1'), { code: 'NO_ENGINE', hint: /install docker/ })
})

t.test('inspectImage: what the engine does not have is no failure', async (t) => {
  await useScripts(t, { docker: 'echo "Error: No such image: a:1" >&2; exit 1' })
  t.equal(await inspectImage(GRAPH, 'a:1'), undefined)
})

t.test('inspectImage: any other answer is one', async (t) => {
  await useScripts(t, { docker: 'echo "out of luck" >&2; exit 1' })
  await t.rejects(inspectImage(GRAPH, 'a:1'), {
    code: 'ENGINE_FAILED',
    message: 'inspect "a:1": out of luck',
  })
})
