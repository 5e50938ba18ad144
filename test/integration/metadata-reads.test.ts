// Of a delivery of hundreds of archives each metadata file is opened once a run, however
// many images the run is about: counted by strace, in a delivery and in an earlier one.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { wrapCommand } from '../fixtures/faults.ts'
import { multiplyArchive } from '../fixtures/many-archives.ts'
import { programFile, run, startFile, type Program } from '../fixtures/run.ts'
import { GREETING, buildImage, dataLayer } from '../fixtures/sample-images.ts'
import { archiveOf, incrementOf, readAnswers, setUp, type Answer } from '../fixtures/workbench.ts'

const ARCHIVES = 300

const bench = await setUp(t)
const { engine } = bench
const build = (name: string, ...more: (typeof GREETING)[]) =>
  buildImage(engine, bench.registry, { name, layers: [dataLayer('shared'), more] })
const [june, july] = [await build('many/tool:6'), await build('many/tool:7', GREETING)]
const names = Array.from({ length: ARCHIVES }, (_, n) => `many/tool-${n}:7`)
// These are saved, and the others are as if they had been; a run is about some of both.
const [saved, some] = [names.slice(0, 3), names.slice(0, 15)]
const root = t.testdir({ june: {}, july: {} })
const [from, dir] = [join(root, 'june'), join(root, 'july')]
await bench.sh(root, some.map((name) => `docker tag ${july.reference} ${name}`).join('\n'))
const SAVE = ['--no-pull', '--level', '0'] as const
await bench.ask('save_compressed_tars', from, ...SAVE, june.reference)
await bench.ask('save_compressed_tars', dir, ...SAVE, '--since', from, ...saved)
await multiplyArchive(from, archiveOf(june), names.slice(1))
const [first = ''] = saved
const others = names.slice(saved.length)
await multiplyArchive(dir, incrementOf(archiveOf({ reference: first })), others)

/** Runs a program; gives what it printed, and how many times it opened each metadata file. */
async function trace(
  program: Program,
  args: readonly string[],
): Promise<{ answers: Answer[]; opens: [file: string, times: number][] }> {
  const log = join(root, 'log')
  const options = ['-f', '--seccomp-bpf', '-qq', '-s', '4096', '-e', 'trace=open,openat,openat2']
  const traced = [programFile(program), '--json', ...args]
  const { env } = engine
  const result = await startFile('strace', [...options, '-o', log, ...traced], { env }).done
  const opens = new Map<string, number>()
  const calls = (await readFile(log, 'utf8')).matchAll(/ open\w*\([^"\n]*"([^"]*)"/g)
  for (const [, path = ''] of calls) opens.set(path, (opens.get(path) ?? 0) + 1)
  const isMetadata = (path: string): boolean => path.startsWith(root) && path.endsWith('.json')
  return { answers: readAnswers(result), opens: [...opens].filter(([path]) => isMetadata(path)) }
}

// what is run, its arguments, the result, how many metadata files it has to know
const RUNS: [Program, string[], string, number][] = [
  [
    'save_compressed_tars',
    [...SAVE, '--dir', dir, '--since', from, ...some],
    'up to date',
    2 * ARCHIVES,
  ],
  [
    'verify_checksums',
    ['--against', 'record', '--dir', dir, '--base', from, ...saved],
    'verified',
    2 * ARCHIVES,
  ],
  [
    'load_compressed_tars',
    ['--force', '--dir', dir, '--base', from, ...saved],
    'loaded',
    2 * ARCHIVES,
  ],
]

for (const [program, args, want, files] of RUNS) {
  t.test(`${program}: of ${ARCHIVES} archives each metadata file is opened once`, async (t) => {
    const { answers, opens } = await trace(program, args)
    t.strictSame(
      answers.filter(({ result }) => result !== want),
      [],
    )
    t.equal(opens.length, files)
    t.strictSame(
      opens.filter(([, times]) => times !== 1),
      [],
    )
  })
}

t.test('save_compressed_tars: the engine is asked once what the images are', async (t) => {
  const log = join(root, 'asked')
  const env = await wrapCommand(join(root, 'bin'), 'docker', `echo "$*" >>${log}; exec $real "$@"`)
  const args = [...SAVE, '--json', '--dir', dir, '--since', from, ...some]
  const result = await run('save_compressed_tars', args, { env: { ...engine.env, ...env } })
  t.ok(readAnswers(result).every((answer) => answer.result === 'up to date'))
  const asked = (await readFile(log, 'utf8')).split('\n')
  t.equal(asked.filter((line) => line.startsWith('image inspect ')).length, 1)
})
