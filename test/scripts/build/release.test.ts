// What `npm run release` packs, in a copy of the project with what was built here.
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import t from 'tap'

import { LICENCES_NAME } from '../../../scripts/build/licences.ts'
import { startNpmRegistry } from '../../fixtures/npm-registry.ts'
import { copyProject, runIn } from '../../fixtures/project-copy.ts'
import { PROGRAMS, executables, sh } from '../../fixtures/run.ts'

const REAL = 'verify_checksums'
const TEXTS = ['LICENSE', 'README.md', LICENCES_NAME, 'images_list.txt']
const FILES = [...PROGRAMS, ...TEXTS, 'docs']

t.test('release: an archive for each platform, and their sums', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'release-test-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  await copyProject(dir, 'copy')
  // Whole and up to date: only the packing is left. It takes half a minute for each
  // gigabyte, so one executable is real and little text stands for the others.
  await sh(
    `mkdir dist && cp '${resolve('dist', 'inputs.sha256')}' dist
    for platform in linux-x64 linux-arm64; do
      mkdir dist/$platform
      for name in ${PROGRAMS.join(' ')}; do echo "$platform $name" >dist/$platform/$name; done
      cp '${resolve('dist')}'/$platform/${LICENCES_NAME} dist/$platform
      chmod +x dist/$platform/*_*
    done
    cp -a '${resolve(executables(process.arch), REAL)}' ${executables(process.arch)}
    for each in dist/linux-*; do (cd $each && sha256sum * >sums && mv sums SHA256SUMS); done`,
    { cwd: dir },
  )
  const { packages } = JSON.parse(await readFile('package-lock.json', 'utf8'))
  const names = ['x64', 'arm64'].map((each) => `node-linux-${each}`)
  const pinned = names.map((each) => [each, [packages[`node_modules/${each}`].version]])
  const registry = await startNpmRegistry(Object.fromEntries(pinned), join(dir, 'npm-cache'))
  t.teardown(registry.stop)
  const { status, stderr } = await runIn(dir, ['npm', 'run', '--silent', 'release'], registry)
  t.equal(status, 0, stderr)
  t.match(stderr, `release: "${dir}/dist" is up to date\n`)

  const { version } = JSON.parse(await readFile('package.json', 'utf8'))
  const archives = ['x64', 'arm64'].map((each) => `dgx-offline-images-${version}-linux-${each}`)
  const released = join(dir, 'dist/release')
  const checked = await sh('sha256sum --strict -c SHA256SUMS', { cwd: released })
  t.equal(checked, archives.map((name) => `${name}.tar.xz: OK`).join('\n'))
  for (const name of archives) {
    await sh(`tar -xJf ${name}.tar.xz`, { cwd: released })
    const unpacked = join(released, name)
    t.strictSame(
      (await sh('ls', { cwd: unpacked })).split('\n').toSorted(),
      [...FILES, 'SHA256SUMS'].toSorted(),
    )
    t.match(await sh('sha256sum --strict -c SHA256SUMS', { cwd: unpacked }), /: OK$/)
  }
  const [here = ''] = archives.filter((name) => name.endsWith(process.arch))
  const ran = await runIn(join(released, here), [`./${REAL}`, '--version'])
  t.match(ran, { status: 0, stdout: `${REAL} ${version} (` })
})
