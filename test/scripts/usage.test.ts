// README and --help say the same of every option, and the four programs take
// them alike, as sources and as executables.
import { readFile } from 'node:fs/promises'
import t from 'tap'

import { FORMS, PROGRAMS, run as runAny, sh, type Program } from '../fixtures/run.ts'

const OPTION = /^ {2}(?<option>-[^ ,]+(?:, --\S+)?(?: \[?[A-Z]\S*)?) +(?<meaning>.+)$/

const CASES = FORMS.flatMap((form) => PROGRAMS.map((program) => ({ form, program })))

for (const { form, program } of CASES) {
  const what = form === 'source' ? `${program}.ts` : program
  const run = (args: string[]) => runAny(program, args, { form })

  t.test(`${what}: README and --help are the same`, async (t) => {
    const { status, stdout, stderr } = await run(['--help'])
    t.strictSame([status, stderr], [0, ''])
    const options = optionsOf(stdout)
    t.ok(options.length >= 8)
    t.strictSame(await tableOf(program), options)
  })

  t.test(`${what}: -h is --help`, async (t) => {
    const [short, long] = await Promise.all([run(['-h']), run(['--help'])])
    t.strictSame(short, long)
  })

  t.test(`${what}: --help starts with how to call it`, async (t) => {
    const { stdout } = await run(['--help'])
    t.ok(stdout.startsWith(`usage: ${program} [OPTION]... [`))
    for (const line of stdout.split('\n')) t.ok(line.length <= 80, line)
  })

  t.test(`${what}: --version tells version, commit, runtime and platform`, async (t) => {
    const { version } = JSON.parse(await readText('package.json'))
    const { status, stdout, stderr } = await run(['--version'])
    t.strictSame([status, stderr], [0, ''])
    const commit = await sh(
      'git --no-optional-locks describe --always --dirty --abbrev=12 --exclude="*"',
    ).catch(() => '')
    const made = commit === '' ? '' : `commit ${commit}, `
    const node = `node ${process.version}, linux-${process.arch}`
    t.equal(stdout, `${program} ${version} (${made}${node})\n`)
  })

  t.test(`${what}: wrong usage ends with status 2, before anything is done`, async (t) => {
    const message = (text: string): string =>
      `${program}: error: ${text}\n${program}: hint: see --help\n`
    t.strictSame(await run(['--unknown']), {
      status: 2,
      signal: null,
      stdout: '',
      stderr: message('there is no option "--unknown"'),
    })
    t.match(await run(['--dir']), { status: 2, stderr: message('--dir needs a value') })
    if (program === 'compress_tars') {
      t.match(await run(['--level', '10']), {
        status: 2,
        stderr: message('--level: got 10, want 0 to 9 for xz'),
      })
    }
  })
}

function optionsOf(help: string): string[][] {
  return help.split('\n').flatMap((line) => {
    const { option, meaning } = OPTION.exec(line)?.groups ?? {}
    return option !== undefined && meaning !== undefined ? [[option, meaning]] : []
  })
}

/** The rows of the first table in the program's section of the README. */
async function tableOf(program: Program): Promise<string[][]> {
  const [, section = ''] = (await readText('README.md')).split(`\n## ${program}\n`)
  const [own = ''] = section.split('\n## ')
  return own
    .split('\n')
    .filter((line) => line.startsWith('| `-'))
    .map((line) => line.split(/(?<!\\)\|/).slice(1, -1))
    .map((cells) =>
      cells.map((cell) =>
        cell
          .trim()
          .replaceAll('\\|', '|')
          .replace(/^`(-.*)`$/, '$1'),
      ),
    )
}

function readText(file: string): Promise<string> {
  return readFile(new URL(`../../${file}`, import.meta.url), 'utf8')
}
