// What comes from elsewhere is shown, but moves no cursor and hides nothing: names in
// tars and lists, metadata, and what an engine says.
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'

import { dockerArchive } from '../fixtures/archive-builder.ts'
import { run, sh, type Program, type RunResult } from '../fixtures/run.ts'
import { GREETING } from '../fixtures/sample-layers.ts'
import { tar, type TarEntry } from '../fixtures/tar-builder.ts'

const ESCAPES = '\u001b]0;title\u0007\u001b[2J\u009b1A\u202e\u200b\rOK'
const SHOWN = '\\x1b]0;title\\x07\\x1b[2J\\x9b1A\\u{202e}\\u{200b}\\rOK'
const HIDDEN = /(?!\n)[\p{Cc}\p{Cf}]/u

const IMAGE = {
  layers: [tar([GREETING])],
  tags: ['registry.example/a:1'],
  layout: 'legacy',
} as const

/** Runs a program with and without --json; nothing that it says may be hidden, and all of the text is there. */
async function check(
  t: Test,
  program: Program,
  args: readonly string[],
  options: { readonly cwd: string; readonly env?: Record<string, string> },
): Promise<RunResult> {
  const asJson = await run(program, [...args, '--json'], options)
  const result = await run(program, [...args], options)
  for (const { stdout, stderr } of [asJson, result]) {
    t.notMatch(stdout, HIDDEN, `${program}: stdout`)
    t.notMatch(stderr, HIDDEN, `${program}: stderr`)
  }
  t.ok(`${result.stdout}${result.stderr}`.includes(SHOWN), `${program} shows it`)
  return result
}

t.test('foreign text: names in a tar', async (t) => {
  const rename = (entries: TarEntry[]): TarEntry[] =>
    entries.map((entry) =>
      entry.path === 'manifest.json'
        ? { ...entry, content: String(entry.content).replace(/"Layers":\["/, `$&${json(ESCAPES)}`) }
        : entry,
    )
  const { archive } = dockerArchive({ ...IMAGE, edit: rename })
  const cwd = t.testdir({ 'image.tar': archive })
  const result = await check(t, 'compress_tars', ['image.tar'], { cwd })
  t.match(result, { status: 1, stderr: /is missing in the tar/ })
})

t.test('foreign text: a list', async (t) => {
  const cwd = t.testdir({ 'images_list.txt': `a:1\n${ESCAPES}x\n` })
  for (const program of ['verify_checksums', 'load_compressed_tars'] as const) {
    const result = await run(program, [], { cwd })
    t.match(result, { status: 1, stderr: /images_list\.txt:2: / })
    t.notMatch(result.stderr, HIDDEN)
  }
})

t.test('foreign text: arguments', async (t) => {
  const cwd = t.testdir({})
  for (const args of [[`--${ESCAPES}`], ['--dir', ESCAPES], [ESCAPES]]) {
    await check(t, 'verify_checksums', args, { cwd })
  }
})

t.test('foreign text: the name of a tar', async (t) => {
  const cwd = t.testdir({})
  const name = `${ESCAPES}.tar`
  await writeFile(join(cwd, name), dockerArchive(IMAGE).archive)
  const result = await check(t, 'compress_tars', [], { cwd })
  t.match(result, { status: 1, stderr: /its name has control characters/ })
})

t.test('foreign text: metadata', async (t) => {
  const cwd = t.testdir({ 'image.tar': dockerArchive(IMAGE).archive })
  t.match(await run('compress_tars', [], { cwd }), { status: 0 })
  const name = 'image.tar.xz.json'
  const text = await readFile(join(cwd, name), 'utf8')
  for (const field of ['"platform": "', '"created": "', '"version": "', '"modified": "']) {
    await writeFile(join(cwd, name), text.replace(field, `${field}${json(ESCAPES)}`))
    await sh('sha256sum *.xz *.json >SHA256SUMS', { cwd })
    for (const args of [['--list'], ['--quick'], ['--against', 'record']]) {
      const result = await run('verify_checksums', args, { cwd })
      t.match(result.stderr, /BAD_RECORD|do not belong there/, `${field} ${args.join(' ')}`)
      t.notMatch(`${result.stdout}${result.stderr}`, HIDDEN)
    }
  }
})

t.test('foreign text: what an engine says', async (t) => {
  const cwd = t.testdir({})
  const bin = join(cwd, 'bin')
  await mkdir(bin)
  const script = `#!/bin/sh\nprintf '%b' "$SAID" >&2\nexit 1\n`
  await writeFile(join(bin, 'docker'), script, { mode: 0o755 })
  const env = { PATH: `${bin}:${process.env['PATH']}`, SAID: ESCAPES }
  await check(t, 'save_compressed_tars', ['a:1'], { cwd, env })
})

function json(text: string): string {
  return JSON.stringify(text).slice(1, -1)
}
