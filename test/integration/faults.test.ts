// What fails while it runs: the compressor, the engine, the disk, another run.
// The error names the cause, and what was there before is there still.
import { createReadStream } from 'node:fs'
import { cp, mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import t, { type Test } from 'tap'

import { listenBefore, type Act } from '../fixtures/daemon-socket.ts'
import { complaint, runMounted, wrapCommand } from '../fixtures/faults.ts'
import { overTcp } from '../fixtures/gate.ts'
import { run, sh, start, type Program } from '../fixtures/run.ts'
import {
  GREETING,
  buildImage,
  busyboxLayer,
  dataLayer,
  pseudoRandom,
} from '../fixtures/sample-images.ts'
import type { TarEntry } from '../fixtures/tar-builder.ts'
import { archiveOf, readAnswers, setUp, snapshot, until } from '../fixtures/workbench.ts'

const SAVE = 'save_compressed_tars'
const COMPRESS = 'compress_tars'
const VERIFY = 'verify_checksums'
const LOAD = 'load_compressed_tars'

const bench = await setUp(t)
const { engine, registry } = bench
const build = (name: string, ...layers: TarEntry[][]) =>
  buildImage(engine, registry, { name: `sample/${name}:1.0`, layers })
const image = await build('image', await busyboxLayer(), dataLayer('image'))
const another = await build('another', await busyboxLayer(), dataLayer('another'))
const tiny = await build('tiny', [GREETING])
// More than a small disk holds, however well it is compressed.
const dense = await build('dense', [{ path: 'dense', content: pseudoRandom('dense', 4_000_000) }])
const archive = archiveOf(image)
const root = t.testdir({ carry: {} })

// Every run starts with this delivery: an archive of the image and a tar.
const original = join(root, 'carry')
await bench.run(SAVE, original, '--level', '0', image.reference)
await bench.sh(original, `docker save ${image.reference} >some.tar`)
await bench.run(COMPRESS, original, '--level', '0')

async function carryDirectory(t: Test): Promise<string> {
  const dir = t.testdir({})
  await cp(original, dir, { recursive: true, preserveTimestamps: true })
  return dir
}

let wrapped = 0
/** The environment of a run in which a command is a script of ours. */
async function withCommand(name: string, script: string): Promise<Record<string, string>> {
  return { ...engine.env, ...(await wrapCommand(join(root, `${wrapped++}`), name, script)) }
}

// A program that does not end is a fault as well.
const LIMIT = { ms: 120_000, signal: 'SIGKILL', group: true } as const

/** Runs a program in which something fails; what lies there must stay as it is. */
async function fails(
  t: Test,
  program: Program,
  args: string[],
  { env, error }: { env: Record<string, string>; error: string },
): Promise<void> {
  const dir = await carryDirectory(t)
  const before = await snapshot(dir)
  const result = await run(program, args, { cwd: dir, env, signalAfter: LIMIT })
  t.equal(result.status, 1, 'exit status')
  t.equal(complaint(program, result).errors.join('\n'), error)
  t.same(await snapshot(dir), before, 'the delivery is as it was')
}

// Only what compresses fails: the program also asks for the version.
const whenCompressing = (script: string): string =>
  `case "$*" in *-t*) ${script};; esac; exec "$real" "$@"`
const whenAskedTo = (command: string, script: string): string =>
  `if [ "$1" = ${command} ]; then ${script}; fi; exec "$real" "$@"`
const some = 'head -c 1000000'

const COMPRESSORS: readonly [name: string, script: string, said: string][] = [
  ['is killed half way', `${some} >/dev/null; kill -KILL $$`, 'it ended with SIGKILL'],
  ['fails half way', `${some} | "$real" "$@"; echo oh >&2; exit 1`, 'oh'],
  [
    'stops reading, then fails',
    `${some} >/dev/null; exec <&-; sleep 0.3; echo oh >&2; exit 1`,
    'oh',
  ],
  ['fails at once', 'echo oh >&2; exit 1', 'oh'],
]

for (const [name, script, said] of COMPRESSORS) {
  for (const [program, ...args] of [[SAVE, '--no-pull', image.reference], [COMPRESS]] as const) {
    t.test(`${program}: a compressor that ${name} leaves nothing`, async (t) => {
      const env = await withCommand('pixz', whenCompressing(script))
      await fails(t, program, [...args], { env, error: `compress: pixz: ${said}` })
    })
  }
}

const saving = `save "${image.reference}": `
const SAVES: readonly [name: string, script: string, error: string][] = [
  ['fails half way', `"$real" "$@" | ${some}; echo oh >&2; exit 1`, `${saving}oh`],
  ['is killed half way', `"$real" "$@" | ${some}; kill -KILL $$`, `${saving}it ended with SIGKILL`],
  [
    'stops writing, then fails',
    `"$real" "$@" | ${some}; exec >&-; sleep 0.3; echo oh >&2; exit 1`,
    `${saving}oh`,
  ],
  ['fails at once', 'echo oh >&2; exit 1', `${saving}oh`],
  [
    'stops half way and calls it a success',
    `"$real" "$@" | ${some}; exit 0`,
    'read tar: it stops at byte 1000000, before its end',
  ],
]

for (const [name, script, error] of SAVES) {
  t.test(`${SAVE}: a docker save that ${name} leaves nothing`, async (t) => {
    const env = await withCommand('docker', whenAskedTo('save', script))
    await fails(t, SAVE, ['--no-pull', image.reference], { env, error })
  })
  t.test(`${VERIFY}: a docker save that ${name} is named`, async (t) => {
    // On this machine the daemon would be asked without its client.
    const client = await withCommand('docker', whenAskedTo('save', script))
    const env = { ...client, ...(await overTcp(t, engine)) }
    const named = error.startsWith(saving) ? error : `${saving}${error}`
    await fails(t, VERIFY, [image.reference], { env, error: named })
  })
}

const part = await buffer(createReadStream(join(original, 'some.tar'), { end: 999_999 }))
const SAVING_DAEMONS: readonly [name: string, act: Act, error: string][] = [
  ['refuses it', (_, answer) => answer.writeHead(500).end('{"message":"oh"}'), `${saving}oh`],
  [
    'ends the connection',
    (asked) => asked.socket.destroy(),
    `${saving}the daemon ended the connection`,
  ],
  [
    'ends the connection half way',
    (_, answer) => answer.write(part, () => answer.destroy()),
    `${saving}read tar: it stops at byte 1000000, before its end`,
  ],
  [
    'calls it a success and sends nothing',
    (_, answer) => answer.end(),
    `${saving}read tar: it stops at byte 0, before its end`,
  ],
]

for (const [name, act, error] of SAVING_DAEMONS) {
  t.test(`${VERIFY}: a daemon that ${name} is named`, async (t) => {
    const env = { ...engine.env, ...(await listenBefore(t, engine, act)) }
    await fails(t, VERIFY, [image.reference], { env, error })
  })
}

interface FullDisk {
  readonly size: string
  /** What lies there before. */
  readonly from?: string
  readonly args: string[]
}

/** Runs a program on a small disk; gives what it said and a copy of what lies there then. */
async function runOnFullDisk(t: Test, program: Program, { size, from, args }: FullDisk) {
  const testDir = t.testdir({ disk: {}, kept: {} })
  const kept = join(testDir, 'kept')
  const fill = from === undefined ? '' : ` && cp -a '${from}/.' "$PWD"`
  const result = await runMounted(program, [...args, '--json'], {
    cwd: join(testDir, 'disk'),
    env: engine.env,
    signalAfter: LIMIT,
    mount: `mount -t tmpfs -o size=${size} tmpfs "$PWD"${fill}`,
    after: `cp -a . '${kept}'`,
  })
  t.equal(result.status, 1, 'exit status')
  return { result, kept }
}

t.test(`${SAVE}: a full disk fails the image that does not fit, not the others`, async (t) => {
  const args = ['--no-pull', ...[tiny, dense, image].map((each) => each.reference)]
  const { result, kept } = await runOnFullDisk(t, SAVE, { size: '3m', args })
  t.match(readAnswers(result), [
    { result: 'saved' },
    { result: 'failed', error: { code: 'NO_SPACE', hint: 'free some space' } },
    { result: 'saved' },
  ])
  const names = [tiny, image].map(archiveOf).flatMap((name) => [name, `${name}.json`])
  t.same((await readdir(kept)).toSorted(), ['SHA256SUMS', ...names].toSorted())
  await sh('sha256sum --check --strict SHA256SUMS', { cwd: kept })
})

t.test(`${SAVE}: a full disk leaves the old archive`, async (t) => {
  const from = join(root, 'dense')
  await sh(`mkdir '${from}'`)
  await bench.run(SAVE, from, '--no-pull', '--level', '0', dense.reference)
  const args = ['--no-pull', '--level', '1', dense.reference]
  const { result, kept } = await runOnFullDisk(t, SAVE, { size: '6m', from, args })
  t.match(readAnswers(result), [{ result: 'failed', error: { code: 'NO_SPACE' } }])
  await t.resolves(sh(`diff -r '${from}' '${kept}'`))
})

t.test(`${SAVE}: a disk on which it cannot fit is told before anything is saved`, async (t) => {
  const args = ['--no-pull', dense.reference]
  const { result, kept } = await runOnFullDisk(t, SAVE, { size: '100k', args })
  t.match(complaint(SAVE, result).errors, [/which cannot fit$/])
  t.notMatch(result.stderr, 'Saving')
  t.same(await readdir(kept), [])
})

t.test(`${COMPRESS}: a full disk fails the tar that does not fit, not the others`, async (t) => {
  const tar = join(root, 'dense.tar')
  await bench.sh(root, `docker save ${dense.reference} >'${tar}'`)
  const args = [tar, join(original, 'some.tar')]
  const { result, kept } = await runOnFullDisk(t, COMPRESS, { size: '3m', args })
  t.match(readAnswers(result), [
    { result: 'failed', error: { code: 'NO_SPACE' } },
    { result: 'compressed' },
  ])
  t.same((await readdir(kept)).toSorted(), ['SHA256SUMS', 'some.tar.xz', 'some.tar.xz.json'])
})

/** Starts a save whose compressor waits, and waits for that. */
async function startSlowSave(dir: string) {
  const gate = join(root, `gate-${wrapped}`)
  await mkdir(gate)
  const wait = `: >'${gate}/started'; until [ -e '${gate}/go' ]; do sleep 0.05; done`
  const env = await withCommand('pixz', whenCompressing(`${wait}; exec "$real" "$@"`))
  const args = ['--no-pull', '--level', '1', image.reference]
  const running = start(SAVE, args, { cwd: dir, env, signalAfter: LIMIT })
  await until('the compressor', async () => (await readdir(gate)).includes('started'))
  return { running, goOn: () => writeFile(join(gate, 'go'), '') }
}

const isTemporary = (name: string): boolean => name.endsWith('.tmp')

t.test('two runs: the second that writes is refused, those that read are not', async (t) => {
  const dir = await carryDirectory(t)
  const { running, goOn } = await startSlowSave(dir)
  for (const [program, ...args] of [[SAVE, another.reference], [COMPRESS]] as const) {
    const result = await bench.run(program, dir, ...args)
    t.equal(result.status, 1, `${program}: exit status`)
    t.match(complaint(program, result), {
      errors: [
        new RegExp(
          `^write to "\\.": locked by another run \\(${SAVE}, PID \\d+, since \\d\\d:\\d\\d\\)$`,
        ),
      ],
      hints: ['wait for its end, or use another --dir'],
    })
  }
  t.match(await bench.run(VERIFY, dir), { status: 0 }, 'verify meanwhile')
  t.match(await bench.run(LOAD, dir, '--force'), { status: 0 }, 'load meanwhile')
  await goOn()
  t.match(await running.done, { status: 0 }, 'the first run ends well')
  t.same((await readdir(dir)).toSorted(), (await readdir(original)).toSorted())
  t.match(await bench.run(VERIFY, dir), { status: 0 })
})

t.test('a killed run: what it left is removed by the next', async (t) => {
  const dir = await carryDirectory(t)
  const { running } = await startSlowSave(dir)
  running.signalGroup('SIGKILL')
  t.match(await running.done, { signal: 'SIGKILL' })
  t.equal((await readdir(dir)).filter(isTemporary).length, 1, 'there is a temporary file')
  t.match(await bench.run(VERIFY, dir), { status: 0 }, 'which is in no way')
  t.match(await bench.run(SAVE, dir, '--no-pull', image.reference), { status: 0 })
  t.same(
    (await readdir(dir)).filter((name) => name.startsWith('.')),
    [],
  )
})

// From here on the engine has no image: archives are loaded.
t.test('engine: all images are removed', async (t) => {
  const others = [tiny, another].map((each) => each.reference)
  await bench.run(SAVE, join(root, 'carry'), '--no-pull', ...others)
  await bench.removeImages()
  t.equal(await bench.listImages(), '')
})

const loading = `load "${archive}": `
const LOADS: readonly [name: string, script: string, error: string][] = [
  ['fails half way', `${some} >/dev/null; echo oh >&2; exit 1`, `${loading}oh`],
  ['is killed half way', `${some} >/dev/null; kill -KILL $$`, `${loading}it ended with SIGKILL`],
  [
    'stops reading, then fails',
    `${some} >/dev/null; exec <&-; sleep 0.3; echo oh >&2; exit 1`,
    `${loading}oh`,
  ],
  ['fails at once', 'echo oh >&2; exit 1', `${loading}oh`],
  ['takes all, then fails', 'cat >/dev/null; echo oh >&2; exit 1', `${loading}oh`],
  [
    'calls it a success and loads nothing',
    'cat >/dev/null; exit 0',
    `load "${image.reference}": the engine does not have it after the load`,
  ],
]

for (const [name, script, error] of LOADS) {
  t.test(`${LOAD}: a docker load that ${name} is named`, async (t) => {
    // As above.
    const client = await withCommand('docker', whenAskedTo('load', script))
    const env = { ...client, ...(await overTcp(t, engine)) }
    await fails(t, LOAD, [`./${archive}`], { env, error })
  })
}

const LOADING_DAEMONS: readonly [name: string, act: Act, error: string][] = [
  [
    'refuses it at once',
    (_, answer) => answer.writeHead(500).end('{"message":"oh"}'),
    `${loading}oh`,
  ],
  [
    'ends the connection half way',
    (load) => load.once('data', () => load.socket.destroy()),
    `${loading}the daemon ended the connection`,
  ],
  [
    'takes all, then fails',
    async (load, answer) => {
      await buffer(load)
      answer.end('{"error":"oh"}')
    },
    `${loading}oh`,
  ],
  [
    'calls it a success and loads nothing',
    async (load, answer) => {
      await buffer(load)
      answer.end('{"stream":"Loaded image"}')
    },
    `load "${image.reference}": the engine does not have it after the load`,
  ],
]

for (const [name, act, error] of LOADING_DAEMONS) {
  t.test(`${LOAD}: a daemon that ${name} is named`, async (t) => {
    const env = { ...engine.env, ...(await listenBefore(t, engine, act)) }
    await fails(t, LOAD, [`./${archive}`], { env, error })
  })
}

const whenDecompressing = (script: string): string =>
  `if [ "$1" = -d ]; then ${script}; fi; exec "$real" "$@"`
const DECOMPRESSORS: readonly [name: string, script: string, said: string][] = [
  ['is killed', 'kill -KILL $$', 'it ended with SIGKILL'],
  [
    'is killed, and said before what it always says',
    'echo "can not seek in input: Illegal seek" >&2; kill -KILL $$',
    'it ended with SIGKILL',
  ],
  ['fails half way', `"$real" "$@" | ${some}; echo oh >&2; exit 1`, 'oh'],
]

for (const [name, script, said] of DECOMPRESSORS) {
  for (const program of [VERIFY, LOAD] as const) {
    t.test(`${program}: a decompressor that ${name} is named`, async (t) => {
      const env = await withCommand('pixz', whenDecompressing(script))
      const error = `decompress "${archive}": pixz: ${said}`
      await fails(t, program, [`./${archive}`], { env, error })
      t.equal(await bench.listImages(), '', 'the engine has no image')
    })
  }
}

const REPLACED: readonly [name: string, script: string, code: string][] = [
  ['another one', `cp '${archiveOf(another)}' '${archive}'`, 'MISMATCH'],
  [
    'another one, and has no metadata',
    `cp '${archiveOf(another)}' '${archive}'; rm '${archive}.json'`,
    'MISMATCH',
  ],
  ['the first half of it', `truncate -s 600000 '${archive}'`, 'MISMATCH'],
  ['it with a byte more', `echo >>'${archive}'`, 'MISMATCH'],
]

for (const [name, script, code] of REPLACED) {
  t.test(`${LOAD}: an archive replaced by ${name} is refused, the others are loaded`, async (t) => {
    const dir = await carryDirectory(t)
    await sh(script, { cwd: dir })
    const refused = await bench.ask(LOAD, dir, `./${archive}`)
    t.match(refused, [{ result: 'failed', error: { code, hint: /./ } }])
    t.equal(await bench.listImages(), '', 'the engine has no image')
    const both = await bench.ask(LOAD, dir, `./${archive}`, `./${archiveOf(tiny)}`)
    t.match(both, [{ result: 'failed' }, { result: 'loaded' }])
    await bench.removeImages()
  })
}
