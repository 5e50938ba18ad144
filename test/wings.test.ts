// The order of the wings of lib/ is a rule of the linter: here it is shown to bite.
// And only the top touches the process.
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t from 'tap'
import * as v from 'valibot'

const ROOT = join(import.meta.dirname, '..')

const KINDS = ['import', 'import type']

const Diagnostics = v.object({
  diagnostics: v.array(
    v.object({
      code: v.string(),
      filename: v.string(),
      labels: v.array(v.object({ span: v.object({ line: v.number() }) })),
    }),
  ),
})

const CASES = [
  ['lib/io/a.ts', '../core/errors.ts', true],
  ['lib/core/a.ts', '../io/child.ts', false],
  ['lib/core/a.ts', 'node:fs/promises', false],
  ['lib/core/a.ts', 'node:crypto', true],
  ['lib/image/a.ts', 'zx/core', false],
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
  ['lib/commands/save/a.ts', '../../delivery/name.ts', true],
  ['lib/commands/save/a.ts', '../../cli/report.ts', false],
  ['lib/commands/a.ts', '../cli/report.ts', false],
  ['lib/cli/a.ts', '../core/outcome.ts', true],
  ['lib/cli/a.ts', '../commands/targets.ts', false],
  ['lib/cli/a.ts', '../tar/header.ts', false],
] as const

// One run over a tree in which each file has the imports of its cases, of both kinds.
const refused = await lint()

for (const [file, specifier, isAllowed] of CASES) {
  for (const kind of KINDS) {
    t.test(`wings: ${kind} of ${specifier} by ${file}: ${isAllowed}`, async (t) => {
      t.equal(refused.includes(`${file}: ${kind} ${specifier}`), !isAllowed)
    })
  }
}

async function lint(): Promise<string[]> {
  const dir = await mkdtemp(join(tmpdir(), 'wings-'))
  t.teardown(() => rm(dir, { recursive: true }))
  await cp(join(ROOT, 'oxlint.config.ts'), join(dir, 'oxlint.config.ts'))
  await symlink(join(ROOT, 'node_modules'), join(dir, 'node_modules'))
  const lines = new Map<string, string[]>()
  for (const [file, specifier] of CASES) {
    const own = lines.get(file) ?? []
    for (const kind of KINDS) own.push(`${kind} { a${own.length} } from '${specifier}'`)
    lines.set(file, own)
  }
  for (const [file, own] of lines) {
    await mkdir(join(dir, dirname(file)), { recursive: true })
    await writeFile(join(dir, file), own.join('\n'))
  }
  // Without the loaders that tap gives to each child.
  const oxlint = join(ROOT, 'node_modules/.bin/oxlint')
  const args = ['-i', `PATH=${process.env['PATH']}`, oxlint, '--format', 'json', 'lib']
  const { stdout } = spawnSync('env', args, { cwd: dir, encoding: 'utf8' })
  const { diagnostics } = v.parse(Diagnostics, JSON.parse(stdout))
  return diagnostics
    .filter(({ code }) => code.includes('no-restricted-imports'))
    .map(({ filename, labels: [label] }) => {
      const [, kind, specifier] =
        /^(import(?: type)?) .* from '(.*)'$/.exec(
          lines.get(filename)?.[(label?.span.line ?? 0) - 1] ?? '',
        ) ?? []
      return `${filename}: ${kind} ${specifier}`
    })
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

t.test('wings: docs/architecture.md draws the imports that there are', async (t) => {
  const page = await readFile(join(ROOT, 'docs/architecture.md'), 'utf8')
  const [drawing = ''] = /```mermaid\n[^]*?```/.exec(page) ?? []
  const drawn = [...drawing.matchAll(/^ *(\w+) --> ([\w &]+)$/gm)].flatMap(([, from, to = '']) =>
    to.split(' & ').map((wing) => `${from} → ${wing}`),
  )
  const found = new Set<string>()
  for (const file of globSync('{lib,scripts}/**/*.ts', { cwd: ROOT })) {
    const [top = '', wing = ''] = file.split('/')
    if (file.startsWith('scripts/build/')) continue
    const from = top === 'lib' ? wing : top
    const source = await readFile(join(ROOT, file), 'utf8')
    for (const [, specifier = ''] of source.matchAll(/(?:\bfrom |\bimport\()'(\.[^']+)'/g)) {
      const [, to = ''] = join(dirname(file), specifier).split('/')
      if (to !== from) found.add(`${from} → ${to}`)
    }
  }
  t.strictSame([...found].toSorted(), drawn.toSorted())
})
