// The linter's rules. Those for folders hold the order of the wings of lib/: a file
// imports its own wing and those below, types too; what is pure has no way to a file,
// a process or a network.
import { defineConfig } from 'oxlint'

interface Wing {
  /** The wings that it may import. */
  readonly below: readonly string[]
  /** Its pure files. */
  readonly pure?: string
}

const WINGS: Readonly<Record<string, Wing>> = {
  // io: a signal to a program goes on to the groups of its children.
  cli: { below: ['io', 'core'] },
  commands: { below: ['archive', 'delivery', 'engine', 'image', 'codec', 'tar', 'io', 'core'] },
  archive: {
    below: ['delivery', 'engine', 'image', 'codec', 'tar', 'io', 'core'],
    pure: '{layer-match,segment-digest}.ts',
  },
  engine: {
    below: ['image', 'codec', 'tar', 'io', 'core'],
    pure: '{containerd-store,error,graph-driver-store,image-store,info,inspect}.ts',
  },
  delivery: {
    below: ['image', 'codec', 'tar', 'io', 'core'],
    pure: '{delivered-layers,image-list,metadata,name,off-list,sha256sums}.ts',
  },
  image: { below: ['codec', 'tar', 'io', 'core'], pure: '**' },
  codec: {
    below: ['tar', 'io', 'core'],
    pure: '{detect,formats,magic,stored,xz/{block-index,condition,error,header,layout,worker-messages},zstd/frames}.ts',
  },
  tar: { below: ['core'], pure: '**' },
  io: { below: ['core'], pure: '{byte-reader,rechunk,task}.ts' },
  core: { below: [], pure: '**' },
}

const VERBS = ['load', 'save', 'verify']

/** Above the file that imports, however far. */
const UP = String.raw`^(?:\.{1,2}/)+`

interface Pattern {
  regex?: string
  group?: string[]
  message: string
}

const IMPURE: Pattern[] = [
  {
    regex:
      '^(?:node:(?:fs|fs/promises|child_process|worker_threads|os|net|https?)|zx/core|fs-extra/esm)$',
    message: 'what is pure reaches no file, process or network',
  },
  ...Object.entries(WINGS)
    .filter(([, { pure }]) => pure !== '**')
    .map(([wing, { pure = '' }]) => ({
      group: [`**/${wing}/**`, ...braces(pure).map((file) => `!**/${wing}/${file}`)],
      message: `this is pure, and so may be all that it imports: of lib/${wing} ${pure || 'nothing'}`,
    })),
]

/** The same for the files of its own wing. */
function ownPure(pure: string): Pattern {
  const names = braces(pure).map((file) => `!**/${file.slice(file.lastIndexOf('/') + 1)}`)
  return { group: ['./*', '../*.ts', ...names], message: 'this is pure, and its neighbour is not' }
}

/** `{a,b}.ts` → `a.ts`, `b.ts`; braces in braces too. */
function braces(pattern: string): string[] {
  const found = /^(.*)\{([^{}]*)\}(.*)$/.exec(pattern)
  if (!found) return [pattern]
  const [, before = '', inside = '', after = ''] = found
  return inside.split(',').flatMap((part) => braces(before + part + after))
}

// The last rule that fits a file is the one that holds, so each has all its patterns.
function imports(files: string, patterns: Pattern[]) {
  const rule: ['error', { patterns: Pattern[] }] = ['error', { patterns }]
  return { files: [files], rules: { 'no-restricted-imports': rule } }
}

function orderOf(wing: string): Pattern {
  const below = WINGS[wing]?.below ?? []
  const above = Object.keys(WINGS).filter((name) => name !== wing && !below.includes(name))
  return {
    regex: `${UP}(?:${above.join('|')})/`,
    message: `lib/${wing} imports ${['itself', ...below].join(', ')} only`,
  }
}

const wings = Object.entries(WINGS).flatMap(([wing, { pure }]) => {
  const order = orderOf(wing)
  const rule = imports(`lib/${wing}/**`, [order])
  return pure === undefined
    ? [rule]
    : [
        rule,
        imports(`lib/${wing}/${pure}`, [
          order,
          ...IMPURE,
          ...(pure === '**' ? [] : [ownPure(pure)]),
        ]),
      ]
})

const verbs = VERBS.map((verb) => {
  const others = VERBS.filter((name) => name !== verb).join('|')
  return imports(`lib/commands/${verb}/**`, [
    orderOf('commands'),
    { regex: `${UP}(?:cli|(?:${others})/)`, message: 'the verbs do not know each other' },
  ])
})

export default defineConfig({
  plugins: ['typescript', 'import', 'unicorn', 'oxc', 'promise'],
  categories: { correctness: 'error', suspicious: 'error' },
  rules: {
    'import/no-cycle': 'error',
    'import/no-default-export': 'error',
    'max-params': ['error', 4],
    'typescript/no-explicit-any': 'error',
    'typescript/no-non-null-assertion': 'error',
    'typescript/no-floating-promises': 'error',
  },
  ignorePatterns: ['node_modules', '.tap', '.cache', 'dist'],
  overrides: [
    ...wings,
    ...verbs,
    {
      files: ['{lib,scripts}/**'],
      rules: {
        'max-lines': ['error', 300],
        'max-lines-per-function': ['error', { max: 40, skipBlankLines: true, skipComments: true }],
      },
    },
    // It is read by oxlint, which wants a default.
    { files: ['oxlint.config.ts'], rules: { 'import/no-default-export': 'off' } },
    {
      files: ['**/test/**'],
      rules: {
        'max-params': 'off',
        'unicorn/consistent-function-scoping': 'off',
        'no-shadow': ['error', { allow: ['t'] }],
        'typescript/no-floating-promises': [
          'error',
          {
            allowForKnownSafePromises: [
              { from: 'package', name: 'PromiseWithSubtest', package: '@tapjs/core' },
            ],
          },
        ],
      },
    },
  ],
})
