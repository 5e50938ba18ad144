import t from 'tap'

import { parseArguments } from '../../../lib/cli/arguments.ts'

const USAGE = `usage: tool [OPTION]... [NAME]...

Does something --not-an-option here.

  --dir DIR          where
  --level N          how much
  --platform OS/ARCH which
  --no-pull          not that
  --dry-run          nothing
  -f, --file FILE    what
  --list [FILE]      which, or all
  --base DIR         more of them (repeatable)
  -h, --help         show this help

  tool --dir /mnt --unknown example
`

// argv, what is read
const ARGUMENTS: [string[], object][] = [
  [[], { names: [], dir: undefined, help: false, dryRun: false, pull: true }],
  [['a', 'b:1'], { names: ['a', 'b:1'] }],
  [['--dir', 'x', 'a'], { dir: 'x', names: ['a'] }],
  [['a', '--dir=x'], { dir: 'x', names: ['a'] }],
  [['--dir', '007'], { dir: '007' }],
  [['1.10', '0x10'], { names: ['1.10', '0x10'] }],
  [['-h'], { help: true }],
  [['--help'], { help: true }],
  [['--dry-run', 'a'], { dryRun: true, names: ['a'] }],
  [['--no-pull'], { pull: false }],
  [['-f', 'x'], { file: 'x' }],
  [['--file', 'x'], { file: 'x' }],
  [['-hf', 'x'], { help: true, file: 'x' }],
  [['--', '--dir', '-x'], { names: ['--dir', '-x'], dir: undefined }],
  [['-'], { names: ['-'] }],
  [['--list'], { list: '' }],
  [['--list', '--dry-run'], { list: '', dryRun: true }],
  [['--list', 'x', 'a'], { list: 'x', names: ['a'] }],
  [['--list=x'], { list: 'x' }],
  [['--base', 'x'], { bases: ['x'] }],
  [['--base', 'x', 'a', '--base=y'], { bases: ['x', 'y'], names: ['a'] }],
]

for (const [argv, want] of ARGUMENTS) {
  t.test(`parseArguments: takes ${JSON.stringify(argv)}`, async (t) => {
    const args = parseArguments(USAGE, argv)
    t.match(
      {
        names: args.names,
        dir: args.text('dir'),
        file: args.text('file'),
        list: args.text('list'),
        bases: args.texts('base'),
        help: args.flag('help'),
        dryRun: args.flag('dry-run'),
        pull: args.flag('pull'),
      },
      want,
    )
    t.equal(args.names.length, 'names' in want && Array.isArray(want.names) ? want.names.length : 0)
  })
}

// argv, the message
const WRONG: [string[], string][] = [
  [['--unknown'], 'unknown option "--unknown"'],
  [['--not-an-option'], 'unknown option "--not-an-option"'],
  [['--dirs', 'x'], 'unknown option "--dirs"'],
  [['-x'], 'unknown option "-x"'],
  [['-hx'], 'unknown option "-hx"'],
  [['--no-dir'], 'unknown option "--no-dir"'],
  [['--pull'], 'unknown option "--pull"'],
  [['--no-help'], 'unknown option "--no-help"'],
  [['--dir'], '--dir needs a value'],
  [['--dir='], '--dir needs a value'],
  [['--dir', ''], '--dir needs a value'],
  [['--dir', '--dry-run'], '--dir needs a value'],
  [['-f'], '--file needs a value'],
  [['--base', 'x', '--base', ''], '--base needs a value'],
  [['--base', 'x', '--base'], '--base needs a value'],
  [['--list', ''], '--list needs a value'],
  [['--list='], '--list needs a value'],
  [['--dir', 'a', '--dir', 'b'], '--dir was given twice'],
  [['-f', 'a', '--file', 'b'], '--file was given twice'],
  [['--dry-run=yes'], '--dry-run takes no value'],
  [['--dry-run', 'false'], '--dry-run takes no value'],
  [['-h=no'], 'unknown option "-h=no"'],
  [['--__proto__', 'x'], 'unknown option "--__proto__"'],
]

for (const [argv, message] of WRONG) {
  t.test(`parseArguments: refuses ${JSON.stringify(argv)}`, async (t) => {
    t.throws(() => parseArguments(USAGE, argv), { code: 'USAGE', message, hint: 'see --help' })
  })
}

const NUMBERS: [string, number | undefined][] = [
  ['0', 0],
  ['9', 9],
  ['06', 6],
  ['10', undefined],
  ['-1', undefined],
  ['5.5', undefined],
  ['1e0', undefined],
  ['x', undefined],
  [' 5', undefined],
]

for (const [text, want] of NUMBERS) {
  t.test(
    `number: ${want === undefined ? 'refuses' : 'takes'} ${JSON.stringify(text)}`,
    async (t) => {
      const args = parseArguments(USAGE, [`--level=${text}`])
      if (want !== undefined) return t.equal(args.number('level', 0, 9), want)
      return t.throws(() => args.number('level', 0, 9), {
        code: 'USAGE',
        message: `--level: got "${text}", want a whole number from 0 to 9`,
      })
    },
  )
}

t.test('number, choice: undefined where they were not given', async (t) => {
  const args = parseArguments(USAGE, [])
  t.equal(args.number('level', 0, 9), undefined)
  t.equal(args.choice('platform', ['a', 'b']), undefined)
})

t.test('choice: one of the choices', async (t) => {
  const args = parseArguments(USAGE, ['--platform', 'b'])
  t.equal(args.choice('platform', ['a', 'b']), 'b')
  t.throws(() => args.choice('platform', ['a', 'c']), {
    code: 'USAGE',
    message: '--platform: got "b", want one of a, c',
  })
})

t.test('text: an option that the usage text does not name is a bug', async (t) => {
  const args = parseArguments(USAGE, [])
  t.throws(() => args.text('base'), { message: 'the usage text has no such --base' })
  t.throws(() => args.texts('dir'), { message: 'the usage text has no such --dir' })
  t.throws(() => args.text('unknown'), {
    name: 'Error',
    message: 'the usage text has no such --unknown',
  })
})
