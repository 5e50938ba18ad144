// Whatever is wrong with what a program is given: it says so, says what to do
// about it, ends with the right status, and leaves the delivery alone.
import { cp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'

import type { ArchiveMetadata } from '../../lib/delivery/metadata.ts'
import { READ_ONLY, complaint, runMounted, wrapCommand } from '../fixtures/faults.ts'
import { startRegistry } from '../fixtures/registry.ts'
import { run, sh, type Program, type RunOptions, type RunResult } from '../fixtures/run.ts'
import { GREETING, buildImage, dataLayer } from '../fixtures/sample-images.ts'
import {
  archiveOf,
  makePath,
  readAnswers,
  recordOf,
  setUp,
  snapshot,
} from '../fixtures/workbench.ts'

const SAVE = 'save_compressed_tars'
const COMPRESS = 'compress_tars'
const VERIFY = 'verify_checksums'
const LOAD = 'load_compressed_tars'

const bench = await setUp(t)
const { engine, registry } = bench
const layers = [[GREETING], dataLayer('small')]
const image = await buildImage(engine, registry, { name: 'sample/small:1.0', layers })
const { reference } = image
const archive = archiveOf(image)

const root = t.testdir({ carry: {}, empty: {} })

// Every run starts with this delivery, and with an engine that has no image.
const original = join(root, 'carry')
await bench.run(SAVE, original, '--no-pull', reference)
await bench.removeImages()
const metadata = await recordOf(original, archive)
// One stream with nothing after it, so that it is known what its last bytes are.
await sh(`xz -dc '${archive}' | xz -0 >../plain.tar.xz`, { cwd: original })
const plainBytes = await readFile(join(root, 'plain.tar.xz'))

// What the start of a program takes; a program that is to miss something finds little more.
const START = ['sh', 'bash', 'dirname', 'readlink']
const noEngine = { PATH: await makePath(join(root, 'no-engine'), [...START, 'xz']) }
const noCompressor = { PATH: await makePath(join(root, 'no-compressor'), [...START, 'docker']) }
const noPixz = { PATH: await makePath(join(root, 'no-pixz'), [...START, 'docker', 'xz']) }
const engineDown = { DOCKER_HOST: 'unix:///nonexistent/docker.sock' }
const notAllowed = await wrapCommand(
  join(root, 'not-allowed'),
  'docker',
  'exec setpriv --reuid=65534 --regid=65534 --clear-groups "$real" "$@"',
)

interface Bad {
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Changes the delivery before the run. */
  readonly prepare?: (dir: string) => Promise<void>
  readonly runHere?: (
    program: Program,
    args: string[],
    options: RunOptions & { cwd: string },
  ) => Promise<RunResult>
  /** Default 1. */
  readonly status?: number
  readonly error: string | RegExp
  readonly hint: string | RegExp
}

// A run that is not over by then hangs.
const HANGS = { ms: 120_000, signal: 'SIGKILL', group: true } as const

/** Runs a program in a delivery with something bad, and checks how it takes it. */
async function refuses(t: Test, program: Program, bad: Bad): Promise<void> {
  const { args = [], env, prepare, runHere = run, status = 1 } = bad
  const dir = t.testdir({})
  await cp(original, dir, { recursive: true })
  await prepare?.(dir)
  const before = await snapshot(dir)
  const result = await runHere(program, [...args], {
    cwd: dir,
    env: { ...engine.env, ...env },
    signalAfter: HANGS,
  })
  const { errors, hints } = complaint(program, result)
  t.equal(result.status, status, 'exit status')
  t.match(errors.join('\n'), bad.error, 'error')
  t.match(hints.join('\n'), bad.hint, 'hint')
  t.same(await snapshot(dir), before, 'the delivery is as it was')
  t.equal(await bench.listImages(), '', 'nothing was pulled or loaded')
  if (!t.passing()) await bench.removeImages()
}

const HOW_TO_WRITE = 'write it as for docker pull'
const REFERENCES = [
  ['a command', '; rm -rf /', HOW_TO_WRITE],
  ['a command substitution', '$(x)', HOW_TO_WRITE],
  ['a space inside', 'sample/a b:1.0', HOW_TO_WRITE],
  ['an upper-case repository', 'Sample/small:1.0', 'lower case: sample/small:1.0'],
] as const

const LISTS: readonly [name: string, text: string, error: string, hint: string][] = [
  ['an empty list', '', '"list.txt" names no image', 'write one image reference a line'],
  ['a list of comments', '# none\n\n', '"list.txt" names no image', 'one image reference a line'],
  ...REFERENCES.map(([name, bad, hint]): [string, string, string, string] => [
    `a list with ${name}`,
    `${reference}\n\n${bad}\n`,
    `list.txt:3: not a valid image name: "${bad}"`,
    hint,
  ]),
  [
    'a list with two names for one archive',
    'sample/small:1.0\nsample_small:1.0\n',
    '"sample/small:1.0" and "sample_small:1.0" have the same archive name "sample_small-1.0"',
    'different directories',
  ],
]

for (const program of [SAVE, VERIFY, LOAD] as const) {
  for (const [name, text, error, hint] of LISTS) {
    t.test(`${program}: refuses ${name}`, (t) => {
      const prepare = (dir: string) => writeFile(join(dir, 'list.txt'), text)
      return refuses(t, program, { args: ['--list', 'list.txt'], prepare, error, hint })
    })
  }

  t.test(`${program}: refuses a list that is missing`, (t) =>
    refuses(t, program, {
      args: ['--list', 'missing.txt'],
      error: '"missing.txt" not found',
      hint: 'name a list with --list',
    }),
  )

  for (const [name, bad, hint] of REFERENCES) {
    t.test(`${program}: refuses an argument with ${name}`, (t) => {
      const args = [reference, bad]
      return refuses(t, program, { args, error: `not a valid image name: "${bad}"`, hint })
    })
  }
}

t.test(`${SAVE}: refuses to run without any list`, (t) =>
  refuses(t, SAVE, {
    error: 'images_list.txt not found in this directory',
    hint: 'name a list with --list',
  }),
)

t.test(`${SAVE}: refuses two arguments for one archive`, (t) =>
  refuses(t, SAVE, {
    args: ['sample/small:1.0', 'sample_small:1.0'],
    error: 'have the same archive name "sample_small-1.0"',
    hint: 'different directories',
  }),
)

const OPTIONS: readonly [program: Program, option: string, value: string, error: string][] = [
  [SAVE, '--level', '10', 'got 10, want 0 to 9 for xz'],
  [COMPRESS, '--long', '27', 'is for --format zst'],
  [COMPRESS, '--format', 'gz', 'got "gz", want one of xz, zst'],
  [SAVE, '--level', 'best', 'got "best", want a whole number from 0 to 19'],
  [SAVE, '--threads', '0', 'got "0", want a whole number from 1'],
  [COMPRESS, '--threads', '1.5', 'got "1.5", want a whole number from 1'],
  [VERIFY, '--threads', 'all', 'got "all", want a whole number from 1'],
  [LOAD, '--threads', '', '--threads needs a value'],
  [SAVE, '--engine', 'rkt', 'got "rkt", want one of docker, podman, nerdctl'],
  [VERIFY, '--engine', 'rkt', 'got "rkt", want one of docker, podman, nerdctl'],
  [LOAD, '--engine', 'rkt', 'got "rkt", want one of docker, podman, nerdctl'],
  [VERIFY, '--against', 'registry', 'got "registry", want one of engine, record'],
  [LOAD, '--against', 'record', 'unknown option "--against"'],
]

for (const [program, option, value, error] of OPTIONS) {
  t.test(`${program}: refuses ${option} "${value}"`, (t) =>
    refuses(t, program, { args: [option, value], status: 2, error, hint: 'see --help' }),
  )
}

const ENGINES: readonly (Bad & { name: string })[] = [
  {
    name: 'an engine that is not installed',
    env: noEngine,
    error: 'none of docker, podman, nerdctl is on PATH',
    hint: 'install docker',
  },
  {
    name: 'an engine of that name that is not installed',
    env: noEngine,
    args: ['--engine', 'nerdctl'],
    error: '"nerdctl" is not on PATH',
    hint: 'name another engine with --engine',
  },
  {
    name: 'an engine that is not running',
    env: engineDown,
    error: /Cannot connect to the Docker daemon/i,
    hint: 'systemctl start docker',
  },
  {
    name: 'an engine that it is not allowed to reach',
    env: notAllowed,
    error: 'permission denied',
    hint: 'run it with sudo, or add yourself to the group docker',
  },
]

for (const { name, args = [], ...bad } of ENGINES) {
  for (const [program, ...own] of [
    [SAVE, reference],
    [VERIFY, '--against', 'engine'],
    [LOAD],
  ] as const) {
    t.test(`${program}: names ${name}`, (t) =>
      refuses(t, program, { ...bad, args: [...args, ...own] }),
    )
  }
}

for (const [program, ...args] of [[SAVE, reference], [COMPRESS]] as const) {
  t.test(`${program}: says how to install a compressor where none is, or what needs none`, (t) =>
    refuses(t, program, {
      args,
      env: noCompressor,
      prepare: (dir) => writeFile(join(dir, 'some.tar'), ''),
      error: 'neither pixz nor xz is on PATH',
      hint: 'apt-get install pixz (or xz-utils); --format zst needs none',
    }),
  )

  t.test(`${program}: refuses a compressor that does not write the format`, (t) =>
    refuses(t, program, {
      args: [...args, '--compressor', 'zstd'],
      // Wrong usage is told first.
      env: noEngine,
      prepare: (dir) => writeFile(join(dir, 'some.tar'), ''),
      error: '--compressor: zstd does not write xz',
      hint: 'want pixz or xz, or another --format',
      status: 2,
    }),
  )
}

for (const [program, ...args] of [[VERIFY], [LOAD]] as const) {
  t.test(`${program}: refuses a compressor that is not there`, (t) =>
    refuses(t, program, {
      args: [...args, '--compressor', 'pixz'],
      env: noCompressor,
      error: 'find a compressor: pixz is not on PATH',
      hint: 'install it, or leave out --compressor',
    }),
  )
}

for (const [program, ...args] of [[SAVE, reference], [COMPRESS], [VERIFY], [LOAD]] as const) {
  t.test(`${program}: refuses a delivery that is absent`, (t) =>
    refuses(t, program, {
      args: [...args, '--dir', 'absent'],
      error: 'directory not found: "absent"',
      hint: 'check its name, mount the disk, or make it with mkdir',
    }),
  )

  t.test(`${program}: refuses a delivery that is a file`, (t) =>
    refuses(t, program, {
      args: [...args, '--dir', archive],
      error: `directory not found: "${archive}"`,
      hint: 'check its name',
    }),
  )
}

for (const [program, ...args] of [
  [SAVE, '--force', reference],
  [COMPRESS, '--force'],
] as const) {
  t.test(`${program}: refuses a read-only delivery before anything else is done`, (t) =>
    refuses(t, program, {
      args,
      prepare: (dir) => writeFile(join(dir, 'some.tar'), Buffer.alloc(10_240)),
      runHere: (name, list, options) => runMounted(name, list, { ...options, mount: READ_ONLY }),
      error: /read-only/,
      hint: 'choose a writable --dir',
    }),
  )
}

t.test('delivery: a read-only one can be verified and loaded', async (t) => {
  const options = { cwd: original, env: engine.env, mount: READ_ONLY }
  for (const program of [VERIFY, LOAD] as const) {
    t.match(await runMounted(program, [], options), { status: 0 }, program)
  }
  await bench.removeImages()
})

const locked = await startRegistry({ auth: true })
t.teardown(locked.stop)

const IMAGES: readonly (Bad & { name: string })[] = [
  {
    name: 'an image that the registry does not have',
    args: [`${registry.host}/sample/small:9.9`],
    error: 'manifest unknown',
    hint: 'check its name and tag',
  },
  {
    name: 'an image that is not local',
    args: ['--no-pull', reference],
    error: `find "${reference}": the engine has no such image`,
    hint: 'leave out --no-pull',
  },
  {
    name: 'a registry that asks for a login',
    args: [`${locked.host}/sample/small:1.0`],
    error: 'no basic auth credentials',
    hint: `docker login ${locked.host}`,
  },
  {
    name: 'a registry that cannot be reached',
    args: ['127.0.0.1:1/sample/small:1.0'],
    error: 'connection refused',
    hint: 'check network and proxy',
  },
]

for (const { name, ...bad } of IMAGES) {
  t.test(`${SAVE}: names ${name}`, (t) => refuses(t, SAVE, bad))
}

t.test(`${COMPRESS}: refuses what is no tar`, (t) =>
  refuses(t, COMPRESS, {
    args: [archive],
    status: 2,
    error: `compress "${archive}": want a file named *.tar`,
    hint: /./,
  }),
)

t.test(`${COMPRESS}: names a tar that is missing`, (t) =>
  refuses(t, COMPRESS, {
    args: ['missing.tar'],
    error: 'compress "missing.tar": file not found',
    hint: /./,
  }),
)

t.test(`${COMPRESS}: refuses an empty tar`, (t) =>
  refuses(t, COMPRESS, {
    prepare: (dir) => writeFile(join(dir, 'empty.tar'), ''),
    error: 'it stops at byte 0, before its end',
    hint: 'make it again',
  }),
)

for (const program of [COMPRESS, VERIFY, LOAD] as const) {
  t.test(`${program}: names a directory with nothing to do in it`, (t) =>
    refuses(t, program, {
      args: ['--dir', join(root, 'empty')],
      error: /^no (archives|\*\.tar files) in ".*empty"/,
      hint: '--dir',
    }),
  )
}

const otherRecord = (change: object): string => JSON.stringify({ ...metadata, ...change })
const withArchive = (change: Partial<ArchiveMetadata['archive']>): string =>
  otherRecord({ archive: { ...metadata.archive, ...change } })
const withImage = (change: object): string =>
  otherRecord({ images: [{ ...metadata.images[0], ...change }] })

const RECORDS: readonly [name: string, text: string, error: string, hint: string][] = [
  ['that is no JSON', '{', 'not JSON', 'remove its metadata'],
  ['that is empty', '', 'not JSON', 'remove its metadata'],
  ['that is a list', '[]', 'schema', 'remove its metadata'],
  [
    'of a newer schema',
    otherRecord({ schema: 3 }),
    'schema: got 3, want at most 2',
    'use the tools that came with the archives',
  ],
  [
    'that names a file outside',
    withArchive({ file: '../outside.tar.xz' }),
    'archive.file: is not a plain file name',
    'remove its metadata',
  ],
  [
    'with a negative size',
    withArchive({ sizeBytes: -1 }),
    'archive.sizeBytes: is not a size',
    'remove',
  ],
  [
    'whose tag is an option',
    withImage({ repoTags: ['--help'] }),
    'images.0.repoTags.0: is not a valid image name',
    'remove its metadata',
  ],
  [
    'with the sha256 of another archive',
    withArchive({ sha256: '0'.repeat(64) }),
    `sha256 of the archive: got ${metadata.archive.sha256}, want ${'0'.repeat(64)}`,
    'copy the archive and its metadata again',
  ],
  [
    'of another image',
    withImage({
      config: { mediaType: 'a/b', digest: `sha256:${'0'.repeat(64)}`, sizeBytes: 1 },
    }),
    'check images: got',
    'copy the archive and its metadata again',
  ],
]

const DAMAGED: Readonly<Record<string, Buffer>> = {
  'empty.tar.xz': Buffer.alloc(0),
  'no-xz.tar.xz': Buffer.from('<html>404 not found</html>\n'),
  'zeros.tar.xz': Buffer.alloc(plainBytes.length),
  'cut-after-a-byte.tar.xz': plainBytes.subarray(0, 1),
  'cut-in-header.tar.xz': plainBytes.subarray(0, 11),
  'cut-after-header.tar.xz': plainBytes.subarray(0, 12),
  'cut-in-the-middle.tar.xz': plainBytes.subarray(0, plainBytes.length / 2),
  'cut-in-index.tar.xz': plainBytes.subarray(0, -16),
  'cut-before-footer.tar.xz': plainBytes.subarray(0, -12),
  'cut-before-the-last-byte.tar.xz': plainBytes.subarray(0, -1),
  'starts-in-the-middle.tar.xz': plainBytes.subarray(plainBytes.length / 2),
  'text-after-its-end.tar.xz': Buffer.concat([plainBytes, Buffer.from('and so on\n'.repeat(9))]),
}

for (const program of [VERIFY, LOAD] as const) {
  t.test(`${program}: names an archive that the list wants and that is missing`, (t) =>
    refuses(t, program, {
      args: [reference.replace(':1.0', ':9.9')],
      error: /^read ".*:9\.9": ".*9\.9\.tar\.xz" not found/,
      hint: 'make it with save_compressed_tars',
    }),
  )

  for (const [name, text, error, hint] of RECORDS) {
    t.test(`${program}: refuses metadata ${name}`, (t) => {
      const prepare = async (dir: string) => {
        await writeFile(join(dir, `${archive}.json`), text)
        await rm(join(dir, 'SHA256SUMS'))
      }
      return refuses(t, program, { prepare, error, hint })
    })
  }

  for (const [compressor, env] of Object.entries({ pixz: {}, xz: noPixz })) {
    t.test(`${program} with ${compressor}: refuses each archive that is damaged`, async (t) => {
      const dir = t.testdir(DAMAGED)
      const before = await snapshot(dir)
      const result = await run(program, ['--json'], {
        cwd: dir,
        env: { ...engine.env, ...env },
        signalAfter: HANGS,
      })
      t.equal(result.status, 1, 'exit status')
      for (const name of Object.keys(DAMAGED)) {
        const answers = readAnswers(result).filter((answer) => answer.archive === name)
        const message = `decompress "${name}": ${compressor}: `
        t.match(answers, [{ result: 'failed', error: { message, hint: /./ } }], name)
      }
      t.same(await snapshot(dir), before, 'the delivery is as it was')
      t.equal(await bench.listImages(), '', 'nothing was loaded')
    })

    t.test(`${program} with ${compressor}: refuses an archive cut between two streams`, (t) =>
      refuses(t, program, {
        env,
        prepare: async (dir) => {
          const split = `xz -dc '${archive}' | split -b 1000000 --filter 'xz >$FILE'`
          await sh(`${split}; mv xaa '${archive}'; rm x?? '${archive}.json' SHA256SUMS`, {
            cwd: dir,
          })
        },
        error: 'it stops at byte 1000000, before its end',
        hint: 'make it again',
      }),
    )
  }
}
