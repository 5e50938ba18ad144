// save_compressed_tars and the way to the registry: waits, faults and logins.
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import t from 'tap'

import { openGate } from '../fixtures/gate.ts'
import { REGISTRY_PASSWORD, REGISTRY_USER, startRegistry } from '../fixtures/registry.ts'
import { buildImage } from '../fixtures/sample-images.ts'
import { GREETING } from '../fixtures/sample-layers.ts'
import { archiveOf, setUp, snapshot } from '../fixtures/workbench.ts'

const bench = await setUp(t)
const { docker } = bench.engine
const build = (name: string, registry = bench.registry) =>
  buildImage(bench.engine, registry, { name, layers: [[GREETING, { path: name }]] })
const one = await build('one:1.0')
await build('two:1.0')
// Most of the time here is spent waiting.
t.jobs = 3

t.test('order: the next image is pulled while the current one is compressed', async (t) => {
  const dir = t.testdir()
  const archive = join(dir, archiveOf(one))
  // The second pull gets no answer before the first image is done.
  const gate = await openGate(bench.registry, async () => {
    while (!existsSync(archive)) await new Promise(setImmediate)
    return true
  })
  t.teardown(gate.close)
  const next = `${gate.host}/two:1.0`
  const { status, stdout } = await bench.run('save_compressed_tars', dir, one.reference, next)
  t.equal(status, 0)
  const lines = stdout.split('\n')
  const pulled = lines.indexOf(`Pulling ${next}...`)
  t.ok(pulled >= 0 && pulled < lines.indexOf(`Saved: ${one.reference}`), 'both at once')
  t.ok(lines.includes(`Saved: ${next}`))
})

t.test('network: pulls again until the registry answers', async (t) => {
  const dir = t.testdir()
  let opened = false
  const gate = await openGate(bench.registry, () => opened)
  t.teardown(gate.close)
  const reference = `${gate.host}/one:1.0`
  const { child, done } = bench.start('save_compressed_tars', dir, reference)
  let said = ''
  child.stderr?.on('data', (text: Buffer) => {
    said += text.toString()
    opened = said.includes('trying again in 4 s')
  })
  const { status, stdout, stderr } = await done
  t.equal(status, 0)
  t.match(stdout, `Saved: ${reference}\n`)
  const warning = `^save_compressed_tars: warning: pull "${reference}": .*; trying again in`
  for (const wait of [2, 4]) t.match(stderr, new RegExp(`${warning} ${wait} s$`, 'm'))
  t.notMatch(stderr, /error|trying again in 8 s/)
})

t.test('network: a registry that never answers fails after the last wait', async (t) => {
  const dir = t.testdir()
  const gate = await openGate(bench.registry, () => false)
  gate.close()
  const reference = `${gate.host}/one:1.0`
  const { status, stderr } = await bench.run('save_compressed_tars', dir, reference)
  t.equal(status, 1)
  t.strictSame(
    stderr.match(/trying again in \d+ s/g),
    [2, 4, 8].map((wait) => `trying again in ${wait} s`),
  )
  t.match(stderr, `save_compressed_tars: error: pull "${reference}": `)
  t.match(stderr, 'save_compressed_tars: hint: check network and proxy')
  t.strictSame(await snapshot(dir), {})
})

t.test('network: an image that is not there is not asked for again', async (t) => {
  const reference = `${bench.registry.host}/none:1.0`
  const { stderr } = await bench.run('save_compressed_tars', t.testdir(), reference)
  t.match(stderr, 'save_compressed_tars: hint: check its name and tag')
  t.notMatch(stderr, 'trying again')
})

t.test('login: a registry that asks for one says so, and then it works', async (t) => {
  const registry = await startRegistry({ auth: true })
  t.teardown(registry.stop)
  const login = () => docker('login', '-u', REGISTRY_USER, '-p', REGISTRY_PASSWORD, registry.host)
  await login()
  const { reference } = await build('secret:1.0', registry)
  await docker('logout', registry.host)
  const dir = t.testdir()
  t.match(await bench.ask('save_compressed_tars', dir, reference), [
    {
      result: 'failed',
      error: { code: 'NOT_LOGGED_IN', hint: `docker login ${registry.host}` },
    },
  ])
  await login()
  t.match(await bench.ask('save_compressed_tars', dir, reference), [{ result: 'saved' }])
})

// What a registry sends an engine to, it tells as it is: an engine's own words.
t.test('credentials: those in a URL are told by nobody', async (t) => {
  const dir = t.testdir()
  const away = 'ftp://user:s3cr3t@host.invalid/blob?X-Amz-Date=1&X-Amz-Signature=s3cr3t'
  const registry = createServer(({ url = '' }, response) => {
    const isPing = /^\/v2\/?$/.test(url)
    response.writeHead(isPing ? 200 : 307, isPing ? {} : { location: away }).end()
  })
  await once(registry.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => registry.close())
  const address = registry.address()
  const port = typeof address === 'object' ? address?.port : undefined
  const reference = `127.0.0.1:${port}/one:1.0`
  const told = await docker('pull', reference).catch((error: unknown) => String(error))
  t.match(told, 's3cr3t', 'the engine tells it')
  const { status, stdout, stderr } = await bench.run(
    'save_compressed_tars',
    dir,
    '--json',
    reference,
  )
  t.equal(status, 1)
  t.match(stderr, 'X-Amz-Date=1&X-Amz-Signature=***')
  t.match(JSON.parse(stdout), { error: { message: /X-Amz-Signature=\*\*\*/ } })
  t.notMatch(stdout + stderr, 's3cr3t')
})
