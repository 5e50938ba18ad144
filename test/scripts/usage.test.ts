// README and --help say the same of every option, and the four programs take
// them alike, as sources and as executables.
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { ANY_PROGRAM } from '../../scripts/build/programs.ts'
import {
  FORMS,
  PROGRAMS,
  programFile,
  run as runAny,
  sh,
  startFile,
  type Program,
} from '../fixtures/run.ts'

const SUM = 'a'.repeat(64)
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

  t.test(`${what}: what may be repeated`, async (t) => {
    const options = optionsOf((await run(['--help'])).stdout)
    const repeatable = options.filter(([, meaning = '']) => meaning.endsWith(' (repeatable)'))
    t.ok(repeatable.length > 0)
    for (const [option = ''] of repeatable) {
      const [name = ''] = option.split(' ')
      // It names images, of a directory.
      if (name === '--forget') {
        const asked = await run([name, 'a:1', name, 'b:1', '--dir', 'nowhere'])
        t.match(asked, { status: 1, stderr: 'directory not found: "nowhere"' })
        continue
      }
      const { status, stderr } = await run([name, '.', name, 'nowhere'])
      t.equal(status, 1, name)
      t.match(stderr, `error: directory not found: "nowhere"`)
    }
  })

  if (program === 'load_compressed_tars' || program === 'verify_checksums') {
    t.test(`${what}: the value that was carried another way`, async (t) => {
      const asked = await run(['--sums-sha256', SUM.toUpperCase(), '--dir', 'nowhere'])
      t.match(asked, { status: 1, stderr: 'directory not found: "nowhere"' })
      const wrong = await run(['--sums-sha256', 'abc'])
      t.match(wrong, { status: 2, stderr: /--sums-sha256: got "abc", want the 64 digits/ })
    })
  }

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
      stderr: message('unknown option "--unknown"'),
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

t.test('executables: options for another Node are not for them', async (t) => {
  const env = { NODE_OPTIONS: '--require=/nowhere.cjs --no-such-option' }
  for (const program of PROGRAMS) {
    const { status, stderr } = await runAny(program, ['--version'], { form: 'executable', env })
    t.strictSame([status, stderr], [0, ''], program)
  }
  // What is built in works in a thread, which takes them in a way of its own.
  const dir = t.testdir()
  await sh(`tar -c README.md | xz >'${dir}/a.tar.xz'`)
  const args = ['--compressor', 'builtin', '--dir', dir]
  const noEngine = { DOCKER_HOST: 'unix:///nowhere.sock' }
  for (const NODE_OPTIONS of ['--no-such-option', '--require=/nowhere.cjs']) {
    const options = { form: 'executable', env: { NODE_OPTIONS, ...noEngine } } as const
    t.match(await runAny('verify_checksums', args, options), { status: 0, stdout: /\nOK/ })
  }
})

t.test('executables: under another name, the same program', async (t) => {
  const place = join(t.testdir(), 'another-name')
  for (const program of PROGRAMS) {
    await copyFile(programFile(program, 'executable'), place)
    const { done } = startFile(place, ['--help'])
    t.strictSame(await done, await runAny(program, ['--help'], { form: 'executable' }))
  }
})

t.test('executables: a damaged name is no success', async (t) => {
  const place = join(t.testdir(), 'damaged')
  const bytes = await readFile(programFile('verify_checksums', 'executable'))
  const at = bytes.indexOf('verify_checksums'.padEnd(ANY_PROGRAM.length))
  bytes.write('V', at)
  await writeFile(place, bytes, { mode: 0o755 })
  const { status, stderr } = await startFile(place, ['--help']).done
  t.equal(status, 1)
  t.match(stderr, 'start "Verify_checksums": there is no such program')
})

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
