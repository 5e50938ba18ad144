// Saved images that one engine sees in another way than the next: by a second name,
// by a second member of one path, by more than can be looked at. None is loaded, and
// where an engine says that it loaded something else, that is told.
import { writeFile } from 'node:fs/promises'
import { request, type IncomingMessage, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import t from 'tap'

import { dockerArchive } from '../fixtures/archive-builder.ts'
import type { Layout } from '../fixtures/archive-layouts.ts'
import { listenBefore } from '../fixtures/daemon-socket.ts'
import { startEngine } from '../fixtures/docker-engine.ts'
import { run, sh } from '../fixtures/run.ts'
import { tar, type TarEntry } from '../fixtures/tar-builder.ts'
import { readAnswers } from '../fixtures/workbench.ts'

const engine = await startEngine()
t.teardown(engine.stop)

const LAYERS = ['base', 'top'].map((content) => tar([{ path: content, content }]))
const TAGS = ['tool:1.0']

type Edit = (entries: TarEntry[]) => TarEntry[]

/** Changes what a member holds, by its JSON. */
function change(path: string, rewrite: (json: string) => string): Edit {
  return (entries) =>
    entries.map((entry) =>
      entry.path === path ? { ...entry, content: rewrite(String(entry.content)) } : entry,
    )
}

const first =
  (...more: TarEntry[]): Edit =>
  (entries) => [...more, ...entries]
const last =
  (...more: TarEntry[]): Edit =>
  (entries) => [...entries, ...more]
const manifest = (content: string): TarEntry => ({ path: 'manifest.json', content })
const blob = (n: number): TarEntry => ({ path: `blobs/${n}` })

// what, the layout, how it is changed, what is said of it
const BAD: [string, Layout, Edit, RegExp][] = [
  [
    'a name in index.json alone',
    'oci',
    change('index.json', (json) => json.replaceAll('tool:1.0', 'docker.io/library/else:1.0')),
    /"index.json" names "docker.io\/library\/else:1.0", which manifest.json does not/,
  ],
  [
    'a tag in index.json alone',
    'oci-gzip',
    change('index.json', (json) => json.replaceAll('name":"1.0"', 'name":"9.0"')),
    /"index.json" names "9.0"/,
  ],
  [
    'a name in repositories alone',
    'legacy',
    change('repositories', (json) => json.replace('{', '{"else":{"1.0":"0f"},')),
    /"repositories" names "else:1.0"/,
  ],
  [
    'a name that leads elsewhere',
    'oci',
    change('index.json', (json) => json.replace(/sha256:[0-9a-f]{64}/, `sha256:${'0'.repeat(64)}`)),
    /gives "tool:1.0" to sha256:0{64}/,
  ],
  [
    'an index that is none',
    'oci',
    change('index.json', (json) => ` ${json}`),
    /read "index.json" of the image/,
  ],
  [
    'a name in another case',
    'legacy',
    change('manifest.json', (json) => json.replace('"RepoTags"', '"repotags":["else:1.0"],$&')),
    /"repotags" is there twice, or in another case/,
  ],
  [
    'annotations twice',
    'oci',
    change('index.json', (json) => json.replace('"annotations"', '"annotations":{"a":"b"},$&')),
    /"annotations" is there twice/,
  ],
  ['another manifest.json', 'legacy', first(manifest('[]')), /"manifest.json" stands in/],
  [
    'another manifest.json by another path',
    'oci',
    first({ path: '/x/..//manifest.json', content: '[]' }),
    /"manifest.json" stands in/,
  ],
  ['another index.json', 'oci', last({ path: 'index.json' }), /"index.json" stands in/],
  [
    'two blobs at one path',
    'oci',
    last(blob(1), { ...blob(1), content: 'x' }),
    /"blobs\/1" stands/,
  ],
  [
    'a member below a link',
    'podman',
    first({ path: 'x', type: 'symlink', linkPath: '.' }, { path: 'x/a' }),
    /"x\/a" lies below a link/,
  ],
  [
    '20,000 tags',
    'legacy',
    change('manifest.json', (json) =>
      json.replace('"tool:1.0"', Array.from({ length: 20_000 }, (_, n) => `"a:${n}"`).join()),
    ),
    /tags: got 20000, want at most 1000/,
  ],
  [
    'a million layers',
    'legacy',
    change('manifest.json', (json) => json.replace('"Layers":[', `$&${'"a",'.repeat(1_000_000)}`)),
    /layers: got 1000002, want at most 1000/,
  ],
  [
    'an index of 40,000 entries',
    'oci',
    change('index.json', (json) => json.replace(']}', `${',{"digest":"a"}'.repeat(40_000)}$&`)),
    /entries of indexes: got 40001, want at most 10000/,
  ],
  [
    'an index of 2 million lists',
    'oci',
    change('index.json', (json) => json.replace(']}', `${',[]'.repeat(2_000_000)}$&`)),
    /read "index.json" of the image: got more than 500000 brackets and colons/,
  ],
]

const GOOD: [string, Layout, Edit][] = [
  ['all members twice, alike', 'legacy', (entries) => [...entries, ...entries]],
  ['two other notes', 'oci', last({ path: 'NOTE' }, { path: 'NOTE', content: 'x' })],
]

/** Makes a directory of archives with such images. */
async function archive(dir: string, rows: readonly [string, Layout, Edit, ...unknown[]][]) {
  for (const [what, layout, edit] of rows) {
    const { archive: bytes } = dockerArchive({ layers: LAYERS, tags: TAGS, layout, edit })
    await writeFile(join(dir, `${what.replaceAll(' ', '-')}.tar`), bytes)
  }
  await sh('xz -0 *.tar', { cwd: dir })
}

t.test('engine view: none of what engines see in several ways is loaded', async (t) => {
  const dir = t.testdir()
  await archive(dir, BAD)
  for (const program of ['verify_checksums', 'load_compressed_tars'] as const) {
    const result = await run(program, ['--json'], { cwd: dir, env: engine.env })
    t.equal(result.status, 1, program)
    const answers = new Map(readAnswers(result).map((answer) => [answer.archive, answer]))
    for (const [what, , , message] of BAD) {
      const error = { code: 'BAD_IMAGE', message }
      const answer = answers.get(`${what.replaceAll(' ', '-')}.tar.xz`)
      t.match(answer, { result: 'failed', error }, `${program}: ${what}`)
    }
  }
  t.equal(await engine.docker('image', 'ls', '--all', '--quiet'), '')
})

t.test('engine view: what is there twice and alike is loaded', async (t) => {
  const dir = t.testdir()
  await archive(dir, GOOD)
  const result = await run('load_compressed_tars', ['--json'], { cwd: dir, env: engine.env })
  t.match(
    readAnswers(result),
    GOOD.map(() => ({ result: 'loaded' })),
  )
  await engine.docker('image', 'rm', ...TAGS)
})

t.test('engine view: a tar that is no image may have anything twice', async (t) => {
  const dir = t.testdir()
  const entries = [manifest('{}'), manifest('{"a":1}'), blob(1), { ...blob(1), content: 'x' }]
  await writeFile(join(dir, 'any.tar'), tar(entries))
  for (const program of ['compress_tars', 'verify_checksums'] as const) {
    t.match(await run(program, [], { cwd: dir, env: engine.env }), { status: 0 }, program)
  }
})

/** Lets the daemon load, and adds a line to what it says. */
function saying(line: string) {
  const socketPath = engine.host.slice('unix://'.length)
  return (asked: IncomingMessage, answer: ServerResponse) => {
    const { method, url, headers } = asked
    const call = request({ socketPath, agent: false, method, path: url, headers }, (response) => {
      answer.writeHead(response.statusCode ?? 0, { 'Content-Type': 'application/json' })
      response.on('data', (bytes) => answer.write(bytes))
      response.once('end', () => answer.end(`${JSON.stringify({ stream: `${line}\n` })}\n`))
    })
    asked.pipe(call)
  }
}

t.test('engine view: an engine that loads something else is told of', async (t) => {
  const dir = t.testdir()
  const { archive: bytes } = dockerArchive({ layers: LAYERS, tags: TAGS, layout: 'oci' })
  await writeFile(join(dir, 'tool.tar'), bytes)
  const { env } = engine
  t.match(await run('compress_tars', ['--format', 'zst'], { cwd: dir, env }), { status: 0 })
  const through = async (line: string) => ({
    ...env,
    ...(await listenBefore(t, engine, saying(line))),
  })
  // Straight to the socket, and, without metadata, by its client.
  for (const prepare of ['true', 'rm *.json SHA256SUMS']) {
    await sh(prepare, { cwd: dir })
    const load = async (line: string) => {
      const result = await run('load_compressed_tars', ['--force', '--json'], {
        cwd: dir,
        env: await through(line),
      })
      return readAnswers(result)
    }
    t.match(await load('Loaded image: tool:1.0'), [{ result: 'loaded' }], prepare)
    t.match(
      await load('Loaded image: else:1.0'),
      [
        {
          result: 'failed',
          error: {
            code: 'MISMATCH',
            message: /the engine says that it loaded "else:1.0", want tool:1.0/,
            hint: /docker image rm else:1.0/,
          },
        },
      ],
      prepare,
    )
  }
})
