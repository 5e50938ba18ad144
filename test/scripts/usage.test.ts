// README and --help say the same of every option, and the four programs take
// them alike.
import { readFile } from 'node:fs/promises'
import t from 'tap'

import { run, type Program } from '../fixtures/run.ts'

const PROGRAMS: Program[] = [
  'save_compressed_tars',
  'compress_tars',
  'verify_checksums',
  'load_compressed_tars',
]
const OPTION = /^ {2}(?<option>-[^ ,]+(?:, --\S+)?(?: [A-Z]\S*)?) +(?<meaning>.+)$/

for (const program of PROGRAMS) {
  t.test(`${program}: README and --help are the same`, async (t) => {
    const { status, stdout, stderr } = await run(program, ['--help'])
    t.strictSame([status, stderr], [0, ''])
    const options = optionsOf(stdout)
    t.ok(options.length >= 8)
    t.strictSame(await tableOf(program), options)
  })

  t.test(`${program}: -h is --help`, async (t) => {
    const [short, long] = await Promise.all([run(program, ['-h']), run(program, ['--help'])])
    t.strictSame(short, long)
  })

  t.test(`${program}: --help starts with how to call it`, async (t) => {
    const { stdout } = await run(program, ['--help'])
    t.ok(stdout.startsWith(`usage: ${program} [OPTION]... [`))
    for (const line of stdout.split('\n')) t.ok(line.length <= 80, line)
  })

  t.test(`${program}: --version tells the version`, async (t) => {
    const { version } = JSON.parse(await readText('package.json'))
    const result = await run(program, ['--version'])
    t.match(result, { status: 0, stderr: '' })
    t.ok(result.stdout.startsWith(`${program} ${version} (node v`), result.stdout)
  })

  t.test(`${program}: wrong usage ends with status 2, before anything is done`, async (t) => {
    const message = (text: string): string =>
      `${program}: error: ${text}\n${program}: hint: see --help\n`
    t.strictSame(await run(program, ['--unknown']), {
      status: 2,
      signal: null,
      stdout: '',
      stderr: message('there is no option "--unknown"'),
    })
    t.match(await run(program, ['--dir']), { status: 2, stderr: message('--dir needs a value') })
    if (program === 'compress_tars') {
      t.match(await run(program, ['--level', '10']), {
        status: 2,
        stderr: message('--level: got "10", want a whole number from 0 to 9'),
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
