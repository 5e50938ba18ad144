// Names in a tar that were made to take time: they end in an error, or go by, and
// Ctrl-C ends the run at any moment.
import { readdir } from 'node:fs/promises'
import t from 'tap'

import { startEngine } from '../fixtures/docker-engine.ts'
import { run, sh, start, type Program } from '../fixtures/run.ts'
import { padding, tar, tarHeader } from '../fixtures/tar-builder.ts'
import { readAnswers } from '../fixtures/workbench.ts'

const { env, stop } = await startEngine()
t.teardown(stop)

const PROGRAMS: Program[] = ['verify_checksums', 'load_compressed_tars']
const IN_TIME = { ms: 20_000, signal: 'SIGKILL' } as const
const MIB = 1024 * 1024

/** What precedes a member: its long name (L), its link (K) or its pax records (x). */
function meta(type: string, content: Buffer): Buffer {
  const header = tarHeader({ path: 'x', sizeBytes: content.length })
  const sum = header.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 32 : byte), 0)
  const changed = sum - header.readUInt8(156) + type.charCodeAt(0)
  header.write(type, 156)
  header.write(`${changed.toString(8).padStart(6, '0')}\0 `, 148)
  return Buffer.concat([header, content, padding(content.length)])
}

const pax = (key: string, value: Buffer): Buffer => {
  const length = value.length + key.length + 10
  const metadata = [`${length} ${key}=`, value, '\n'].map((part) => Buffer.from(part))
  const missing = length - metadata.reduce((sum, part) => sum + part.length, 0)
  return Buffer.concat([Buffer.from('0'.repeat(missing)), ...metadata])
}

// what, the tar
const NAMES: [string, Buffer][] = [
  ['a name of slashes and an end', meta('L', Buffer.from(`${'/'.repeat(MIB - 1)}a`))],
  ['a name of NULs and an end', meta('L', Buffer.concat([Buffer.alloc(MIB - 1), Buffer.of(65)]))],
  ['a link of slashes', meta('K', Buffer.alloc(MIB, '/'))],
  ['a pax path', meta('x', pax('path', Buffer.from(`${'/'.repeat(MIB - 40)}a`)))],
  ['a pax link', meta('x', pax('linkpath', Buffer.from(`${'/'.repeat(MIB - 40)}a`)))],
]

for (const [what, header] of NAMES) {
  t.test(`names: of 1 MiB, ${what}: refused at once`, async (t) => {
    const dir = t.testdir()
    const bytes = Buffer.concat([header, tar([{ path: 'a', content: 'a' }])])
    await sh('xz -0 >bad.tar.xz', { cwd: dir, input: bytes })
    for (const program of PROGRAMS) {
      const result = await run(program, ['--json'], { cwd: dir, env, signalAfter: IN_TIME })
      t.match(result, { status: 1, signal: null }, program)
      t.match(readAnswers(result), [
        { result: 'failed', error: { code: 'BAD_TAR', message: /name too long/ } },
      ])
    }
    t.strictSame(await readdir(dir), ['bad.tar.xz'])
  })
}

// As long as they may be, and so many that the run goes on for a while.
t.test('names: Ctrl-C ends a run that reads them', async (t) => {
  const dir = t.testdir()
  const name = meta('L', Buffer.from(`${'/'.repeat(64 * 1024 - 1)}a`))
  const member = Buffer.concat([name, tar([{ path: 'a' }], { end: false })])
  const input = Buffer.concat(Array.from({ length: 16 }, () => member))
  const many =
    'cat >part && for n in $(seq 2000); do cat part; done | zstd -q >many.tar.zst; rm part'
  await sh(many, { cwd: dir, input })
  for (const program of PROGRAMS) {
    const running = start(program, [], { cwd: dir, env })
    const begun = new Promise((resolve) => running.child.stdout?.once('data', resolve))
    await begun
    const startMs = performance.now()
    running.signalGroup('SIGINT')
    t.match(await running.done, { status: 130 }, program)
    t.ok(performance.now() - startMs < 5000, `after ${performance.now() - startMs} ms`)
  }
})
