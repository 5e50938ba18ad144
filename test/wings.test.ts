// The order of the wings of lib/ is a rule of the linter: here it is shown to bite.
// And only the top touches the process.
import { spawnSync } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t from 'tap'

const ROOT = join(import.meta.dirname, '..')

const CASES = [
  ['lib/io/a.ts', '../core/errors.ts', true],
  ['lib/core/a.ts', '../io/child.ts', false],
  ['lib/core/a.ts', 'node:fs/promises', false],
  ['lib/core/a.ts', 'node:crypto', true],
  ['lib/tar/a.ts', '../codec/formats.ts', false],
  ['lib/codec/xz/a.ts', '../../io/child.ts', true],
  ['lib/codec/xz/a.ts', '../../image/reference.ts', false],
  ['lib/codec/xz/error.ts', './header.ts', true],
  ['lib/codec/xz/error.ts', './worker-pool.ts', false],
  ['lib/codec/xz/error.ts', '../../io/rechunk.ts', true],
  ['lib/codec/xz/error.ts', '../../io/child.ts', false],
  ['lib/image/uncompress/a.ts', '../../codec/detect.ts', true],
  ['lib/image/uncompress/a.ts', '../../codec/compress.ts', false],
  ['lib/delivery/a.ts', '../engine/engine.ts', false],
  ['lib/engine/a.ts', '../delivery/metadata.ts', false],
  ['lib/archive/a.ts', '../commands/targets.ts', false],
  ['lib/commands/save/a.ts', '../targets.ts', true],
  ['lib/commands/save/a.ts', '../load/load.ts', false],
  ['lib/commands/a.ts', '../cli/report.ts', false],
  ['lib/cli/a.ts', '../core/outcome.ts', true],
  ['lib/cli/a.ts', '../commands/targets.ts', false],
  ['lib/cli/a.ts', '../tar/header.ts', false],
] as const

for (const [file, specifier, isAllowed] of CASES) {
  for (const kind of ['import', 'import type']) {
    t.test(`wings: ${kind} of ${specifier} by ${file}: ${isAllowed}`, async (t) => {
      const dir = await mkdtemp(join(tmpdir(), 'wings-'))
      t.teardown(() => rm(dir, { recursive: true }))
      await cp(join(ROOT, 'oxlint.config.ts'), join(dir, 'oxlint.config.ts'))
      await symlink(join(ROOT, 'node_modules'), join(dir, 'node_modules'))
      await mkdir(join(dir, dirname(file)), { recursive: true })
      const use = kind === 'import' ? 'export const b = a()' : 'export type B = a'
      await writeFile(join(dir, file), `${kind} { a } from '${specifier}'\n${use}\n`)
      // Without the loaders that tap gives to each child.
      const command = ['-i', `PATH=${process.env['PATH']}`, join(ROOT, 'node_modules/.bin/oxlint')]
      const options = { cwd: dir, encoding: 'utf8' } as const
      const { status, stdout, stderr } = spawnSync('env', [...command, 'lib'], options)
      t.equal(status, isAllowed ? 0 : 1, stdout + stderr)
      if (!isAllowed) t.match(stdout, 'no-restricted-imports')
    })
  }
}

t.test('wings: only the top touches arguments, stdout, console and exit', async (t) => {
  const touching = []
  for (const file of await readdir(join(ROOT, 'lib'), { recursive: true })) {
    if (!file.endsWith('.ts')) continue
    const source = await readFile(join(ROOT, 'lib', file), 'utf8')
    const code = source.replaceAll(/\/\*[^]*?\*\/|^ *\/\/.*$/gm, '')
    if (/\bconsole\.|\bprocess\.(stdout|argv|exit|exitCode|on|stdin)\b/.test(code)) {
      touching.push(file)
    }
  }
  t.strictSame(touching.toSorted(), ['cli/main.ts', 'cli/report.ts'])
})
