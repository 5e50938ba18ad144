// The four levels of the design, held: imports go downward only, what is pure
// reaches no file and no process, and only the top touches the process.
// `import type` is gone when a program runs, so it does not count.
import { readFile, readdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const PURE = [
  'archive-name',
  'archive-record',
  'archive-sharing',
  'archive-sizes',
  'byte-taker',
  'chain-id',
  'codec',
  'checksum-file',
  'delivered-layers',
  'docker-archive',
  'credentials',
  'engine-error',
  'engine-image',
  'engine-info',
  'engine-said',
  'equal-pieces',
  'errors',
  'hold-back',
  'image-limits',
  'image-list',
  'image-names',
  'image-reference',
  'image-settings',
  'json-keys',
  'json-member',
  'layer-compression',
  'layer-guess',
  'linked-member',
  'load-plan',
  'member-clashes',
  'normal-tar',
  'oci-index',
  'off-list',
  'oci-layout',
  'outcome',
  'plain-layers',
  'plain-layout',
  'platform',
  'progress-line',
  'quantity',
  'same-image',
  'segment-digest',
  'slots',
  'spared-work',
  'stored-segment',
  'summary-table',
  'tar-cutter',
  'tar-digest',
  'tar-header',
  'tar-meta',
  'tar-piece',
  'tar-scanner',
  'tar-splitter',
  'tar-walker',
  'text-table',
  'visible-text',
  'turns',
  'usage',
  'xz-fault',
  'xz-header',
  'xz-index',
  'xz-layout',
  'xz-message',
  'zstd-frame',
]
const VERBS = ['save', 'compress', 'forget', 'verify', 'load', 'inventory']
const FACE = ['cli', 'report']
const SCRIPTS = [
  'save_compressed_tars',
  'compress_tars',
  'verify_checksums',
  'load_compressed_tars',
]
const LEVELS = ['pure', 'I/O', 'verbs', 'face', 'scripts']

interface Module {
  readonly level: number
  readonly source: string
  /** As written, and of this project by name. */
  readonly imports: readonly { specifier: string; name: string | undefined }[]
}

const modules = await readModules()

t.test('levels: every module that is named here is there', async (t) => {
  for (const name of [...PURE, ...VERBS, ...FACE, ...SCRIPTS]) t.ok(modules.has(name), name)
})

for (const [name, { level, imports }] of modules) {
  t.test(`levels: ${name}, ${LEVELS[level]}, imports downward only`, async (t) => {
    for (const { specifier, name: target } of imports) {
      if (target === undefined) continue
      const below = modules.get(target)?.level ?? LEVELS.length
      // Verbs know nothing of each other, programs neither.
      const isAlone = VERBS.includes(name) || SCRIPTS.includes(name)
      t.ok(isAlone ? below < level : below <= level, specifier)
    }
    t.pass('all looked at')
  })
}

// What a pure module may need of others: computing, no files, no processes.
const ALLOWED = new Set(['node:crypto', 'node:zlib', 'minimist', 'valibot'])

for (const name of PURE) {
  t.test(`levels: ${name} is pure, with all that it imports`, async (t) => {
    const reached = reach(name)
    t.strictSame(
      [...reached].filter((found) => !ALLOWED.has(found) && !PURE.includes(found)),
      [],
    )
  })
}

t.test('levels: what is not pure is seen to be so', async (t) => {
  const reached = reach('save_compressed_tars')
  for (const found of [
    'save',
    'child',
    'errors',
    'node:child_process',
    'node:fs/promises',
    'zx/core',
    'fs-extra/esm',
  ]) {
    t.ok(reached.has(found), found)
  }
})

t.test('levels: only the top touches arguments, stdout, console and exit', async (t) => {
  const touching = [...modules]
    .filter(([, { source }]) =>
      /\bconsole\.|\bprocess\.(stdout|argv|exit|exitCode|on|stdin)\b/.test(withoutComments(source)),
    )
    .map(([name]) => name)
  const allowed = [...FACE, ...SCRIPTS]
  t.strictSame(
    touching.filter((name) => !allowed.includes(name)),
    [],
  )
  t.ok(touching.includes('cli'), 'and cli does')
})

/** All that a module imports, and what that imports. */
function reach(name: string, reached = new Set<string>()): Set<string> {
  for (const { specifier, name: target } of modules.get(name)?.imports ?? []) {
    const found = target ?? specifier
    if (reached.has(found)) continue
    reached.add(found)
    if (target !== undefined) reach(target, reached)
  }
  return reached
}

async function readModules(): Promise<Map<string, Module>> {
  const found = new Map<string, Module>()
  for (const folder of ['lib', 'scripts']) {
    const dir = fileURLToPath(new URL(`../../${folder}`, import.meta.url))
    const files = (await readdir(dir)).filter((file) => file.endsWith('.ts'))
    for (const file of files.toSorted()) {
      const source = await readFile(`${dir}/${file}`, 'utf8')
      const name = nameOf(file)
      found.set(name, { level: levelOf(name), source, imports: readImports(source) })
    }
  }
  return found
}

function levelOf(name: string): number {
  const groups = [PURE, [], VERBS, FACE, SCRIPTS]
  const level = groups.findIndex((names) => names.includes(name))
  return level === -1 ? LEVELS.indexOf('I/O') : level
}

// Static ones, `export … from`, and `import()`, but for types.
function readImports(source: string): Module['imports'] {
  const pattern =
    /^import(?! type\b)[^'();]*'([^']+)'|^export (?:\*|\{)[^'();]*? from '([^']+)'|\bimport\('([^']+)'\)/gm
  return [...source.matchAll(pattern)].map(([, imported, exported, dynamic]) => {
    const specifier = imported ?? exported ?? dynamic ?? ''
    return { specifier, name: specifier.startsWith('.') ? nameOf(specifier) : undefined }
  })
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1).replace(/\.ts$/, '')
}

function withoutComments(source: string): string {
  return source.replaceAll(/\/\*[^]*?\*\/|^ *\/\/.*$/gm, '')
}
