// Deliveries that are wrong in one point each: what verify and load say of each, and
// that the engine has what it had. On real engines, of every kind of store.
import { readFile, writeFile } from 'node:fs/promises'
import { get, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import t, { type Test } from 'tap'

import { load } from '../../lib/commands/load/load.ts'
import { verify } from '../../lib/commands/verify/verify.ts'
import { ToolError, type ErrorCode } from '../../lib/core/errors.ts'
import type { Notice, Outcome } from '../../lib/core/outcome.ts'
import { hexOf, sha256 } from '../fixtures/digest.ts'
import { startEngine, type EngineClient } from '../fixtures/docker-engine.ts'
import { startNewerEngine } from '../fixtures/newer-engine.ts'
import { startPodman } from '../fixtures/podman-engine.ts'
import { run, type RunResult } from '../fixtures/run.ts'
import type { Answer } from '../fixtures/workbench.ts'
import {
  BYSTANDER,
  OTHER,
  WRONG_DELIVERIES,
  build,
  deliver,
  spoil,
  type WrongDelivery,
} from '../fixtures/wrong-deliveries.ts'

const [graph, store, podman] = await Promise.all([
  startEngine(),
  startNewerEngine('containerd'),
  startPodman(),
])
const engines: EngineClient[] = [graph, store, podman]
t.teardown(() => Promise.all(engines.map(({ stop }) => stop())))

const root = t.testdir({ good: {}, last: {}, aside: {} })
const good = join(root, 'good')
const last = join(root, 'last')
await Promise.all([deliver(good, 'new'), deliver(last, 'last')])

// Last month's image has the tag, the other one is as it is in the delivery.
const HELD: [string, Buffer][] = [
  ['app', build('last')],
  ['other', build('other', { tags: [OTHER] })],
  ['bystander', build('bystander', { tags: [BYSTANDER] })],
]
for (const [name, bytes] of HELD) await writeFile(join(root, `${name}.tar`), bytes)

async function reset(engine: EngineClient, held = HELD): Promise<string> {
  for (const [name] of held) await engine.docker('load', '--input', join(root, `${name}.tar`))
  return imagesOf(engine)
}

async function imagesOf({ docker, env }: EngineClient): Promise<string> {
  const socket = env['DOCKER_HOST']?.replace('unix://', '')
  // A tenth of the time that a client takes to start, and this is asked often.
  if (socket !== undefined) return listImages(socket)
  const format = '{{.Repository}}:{{.Tag}} {{.ID}}'
  const lines = await docker('image', 'ls', '--no-trunc', '--format', format)
  const tagged = lines.split('\n').filter((line) => !line.includes('<none>'))
  return tagged.toSorted().join('\n')
}

interface Listed {
  readonly Id: string
  readonly RepoTags?: readonly string[] | null
}

async function listImages(socketPath: string): Promise<string> {
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    get({ socketPath, path: '/images/json' }, resolve).on('error', reject)
  })
  const images: Listed[] = JSON.parse((await buffer(answer)).toString())
  const tagged = images.flatMap(({ Id, RepoTags }) =>
    (RepoTags ?? []).filter((tag) => !tag.includes('<none>')).map((tag) => `${tag} ${Id}`),
  )
  return tagged.toSorted().join('\n')
}

const before = new Map<EngineClient, string>()
for (const engine of engines) before.set(engine, await reset(engine))

/** What a load said, by the code of each failure. */
interface Said {
  readonly codes: readonly string[]
  readonly text: string
}

/** Loads in this process: the engine is that of the environment. */
function loadHere(dir: string, args: readonly string[], engine: EngineClient): Promise<Said> {
  const given = { ...DEFAULTS, delivery: deliveryOf(dir, args), engine: engine.name }
  return listenTo(engine.env, (notify) => load(given, { ...CONTEXT, notify }))
}

function verifyHere(dir: string, args: readonly string[]): Promise<Said> {
  const given = { ...DEFAULTS, delivery: deliveryOf(dir, args), engine: undefined }
  return listenTo(NO_ENGINE, (notify) =>
    verify({ ...given, against: undefined, quick: false }, { ...CONTEXT, notify }),
  )
}

async function listenTo(
  env: EngineClient['env'],
  start: (notify: (notice: Notice) => void) => AsyncIterable<Outcome>,
): Promise<Said> {
  const said: unknown[] = []
  const codes: string[] = []
  const kept = { ...process.env }
  Object.assign(process.env, env)
  const notify = (notice: Notice): void => {
    if (notice.type !== 'progress') said.push(notice.text)
  }
  try {
    for await (const outcome of start(notify)) {
      said.push(outcome.notes.join('; '), outcome.error?.message)
      if (outcome.error) codes.push(outcome.error.code)
    }
  } catch (error) {
    if (!(error instanceof ToolError)) throw error
    codes.push(error.code)
    said.push(error.message)
  } finally {
    process.env = kept
  }
  return { codes, text: said.join('\n') }
}

const DEFAULTS = {
  names: [],
  list: undefined,
  compressor: undefined,
  force: false,
  dryRun: false,
} as const
const CONTEXT = { threads: 2, signal: new AbortController().signal }

function deliveryOf(dir: string, args: readonly string[]) {
  const [option, value] = args
  return {
    dir,
    bases: [],
    sumsSha256: option === '--sums-sha256' ? value : undefined,
    unlisted: option === '--unlisted',
  }
}

// Last month's image had it, with metadata and without.
const RETAGGED = /registry\.example\/site\/app:1 was sha256:[0-9a-f]{64} before/
const NO_ENGINE = { DOCKER_HOST: 'unix:///nonexistent' }

/** Checks status and lines of JSON; what fails before any archive has no line. */
function checkSaid(t: Test, result: RunResult, wanted: readonly string[]): void {
  const { status, stdout, stderr } = result
  t.equal(status, wanted.length === 0 ? 0 : 1)
  t.notMatch(stderr, /^ {4}at /m, 'it is no bug')
  const answers = stdout.split('\n').flatMap((line): Answer[] => (line ? [JSON.parse(line)] : []))
  const failed = answers.flatMap(({ error }) => error?.code ?? [])
  if (answers.length > 0) checkCodes(t, failed, wanted)
}

function checkCodes(t: Test, got: readonly string[], wanted: readonly string[]): void {
  t.equal(got.length > 0, wanted.length > 0, `got ${got.join()}, want ${wanted.join()}`)
  for (const code of got) t.ok(wanted.includes(code), `got ${code}, want ${wanted.join(' or ')}`)
}

// What is refused for what lies in the delivery is refused before any engine is
// asked: each of those goes to one engine, in turn.
const UNREAD: ReadonlySet<ErrorCode> = new Set([
  'BAD_FILE',
  'BAD_LIST',
  'BAD_RECORD',
  'NOT_LISTED',
  'NO_ARCHIVE',
])
let unread = 0

function enginesFor({ load: codes, isLoaded }: WrongDelivery): readonly EngineClient[] {
  const isUnread = !isLoaded && codes.length > 0 && codes.every((code) => UNREAD.has(code))
  if (!isUnread) return engines
  const at = unread++ % engines.length
  return engines.slice(at, at + 1)
}

// The program itself is started for each way to fail, and for each argument.
const started = new Set<string>()

async function checkVerify(t: Test, wrong: WrongDelivery, dir: string): Promise<void> {
  const { args = [], verify: codes, says } = wrong
  const { codes: got, text: said } = await verifyHere(dir, args)
  checkCodes(t, got, codes)
  if (!wrong.isSaidByLoad) t.match(said, says, 'verify says it')
  const way = [...codes, ...args].join()
  if (started.has(way)) return
  started.add(way)
  const result = await run('verify_checksums', ['--json', ...args], { cwd: dir, env: NO_ENGINE })
  checkSaid(t, result, codes)
  if (!wrong.isSaidByLoad) t.match(result.stdout + result.stderr, says, 'the program says it')
}

async function check(t: Test, wrong: WrongDelivery): Promise<void> {
  const { args = [], says } = wrong
  const dir = join(root, 'wrong')
  await spoil(wrong, good, { dir, aside: join(root, 'aside'), last })
  await checkVerify(t, wrong, dir)
  for (const engine of enginesFor(wrong)) {
    const { codes, text } = await loadHere(dir, args, engine)
    checkCodes(t, codes, wrong.load)
    t.match(text, says, `load says it: ${engine.name}`)
    if (wrong.isLoaded) t.match(text, RETAGGED)
    const after = await imagesOf(engine)
    if (wrong.isLoaded) {
      t.notSame(after, before.get(engine), `it is loaded: ${engine.name}`)
      // Only the app's tag has moved; else they differ.
      const restored = await reset(engine, HELD.slice(0, 1))
      t.equal(restored, before.get(engine))
    } else t.equal(after, before.get(engine), `images and tags are as before: ${engine.name}`)
  }
}

for (const wrong of WRONG_DELIVERIES) {
  t.test(`delivery: ${wrong.what}`, (t) => check(t, wrong))
}

t.test('delivery: the good one, with the value that was carried another way', async (t) => {
  const value = hexOf(sha256(await readFile(join(good, 'SHA256SUMS'))))
  const args = ['--sums-sha256', value]
  const verified = await run('verify_checksums', args, { cwd: good, env: NO_ENGINE })
  t.match(verified, { status: 0, stdout: /\nDone!\n$/ })
  t.strictSame((await loadHere(good, args, store)).codes, [])
  t.not(await imagesOf(store), before.get(store))
})

// what, verify, load, what the engine has after
t.test('docs: the table is that of these deliveries', async (t) => {
  const docs = await readFile(join(import.meta.dirname, '../../docs/verification.md'), 'utf8')
  for (const { what, verify: verifies, load: loads, isLoaded } of WRONG_DELIVERIES) {
    const result = (codes: readonly string[]) =>
      codes.map((code) => `\`${code}\``).join(' or ') || 'told'
    const after = isLoaded ? 'the image is loaded' : 'as before'
    const cells = [what, result(verifies), result(loads), after]
    const row = cells.map((cell) => `\\| ${escape(cell)} *`).join('')
    t.match(docs, new RegExp(`^${row}\\|$`, 'm'), what)
  }
})

function escape(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
