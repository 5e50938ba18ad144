// Some KiB of archive that come to 20 GB of tar: where metadata tell how much it should
// be, it ends there; without them it is work that Ctrl-C ends.
import { appendFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { dockerArchive } from '../fixtures/archive-builder.ts'
import { startEngine } from '../fixtures/docker-engine.ts'
import { run, sh, start, type Program } from '../fixtures/run.ts'
import { tar } from '../fixtures/tar-builder.ts'
import { readAnswers } from '../fixtures/workbench.ts'

const { env, docker, stop } = await startEngine()
t.teardown(stop)

const PROGRAMS: Program[] = ['verify_checksums', 'load_compressed_tars']
const IN_TIME = { ms: 20_000, signal: 'SIGKILL' } as const
const { archive: TAR } = dockerArchive({
  layers: [tar([{ path: 'a', content: 'a' }])],
  tags: ['tool:1.0'],
  layout: 'oci',
})
const FORMATS = [
  ['xz', 'xz -0'],
  ['zst', 'zstd -q'],
] as const

/** Gives 20 GB of zeros as they are when compressed. */
async function zeros(dir: string, command: string): Promise<Buffer> {
  await sh(`head -c 64M /dev/zero | ${command} -c >part`, { cwd: dir })
  await sh('for n in $(seq 320); do cat part; done >zeros && rm part', { cwd: dir })
  const bytes = await readFile(join(dir, 'zeros'))
  await sh('rm zeros', { cwd: dir })
  return bytes
}

for (const [format, command] of FORMATS) {
  t.test(`endless tar: ${format}: it ends at the size that its metadata tell`, async (t) => {
    const dir = t.testdir()
    await writeFile(join(dir, 'tool.tar'), TAR)
    const made = await run('compress_tars', ['--format', format], { cwd: dir, env })
    t.match(made, { status: 0 })
    await sh('rm tool.tar SHA256SUMS', { cwd: dir })
    await appendFile(join(dir, `tool.tar.${format}`), await zeros(dir, command))
    for (const program of PROGRAMS) {
      const result = await run(program, ['--json'], { cwd: dir, env, signalAfter: IN_TIME })
      t.match(result, { status: 1, signal: null }, program)
      const error = { code: 'MISMATCH', message: /^check size of the (tar|archive): got/ }
      t.match(readAnswers(result), [{ result: 'failed', error }])
    }
    t.equal(await docker('image', 'ls', '--all', '--quiet'), '')
  })

  t.test(`endless tar: ${format}: Ctrl-C ends a run that reads it`, async (t) => {
    const dir = t.testdir()
    await sh(`${command} >tool.tar.${format}`, { cwd: dir, input: TAR })
    await appendFile(join(dir, `tool.tar.${format}`), await zeros(dir, command))
    for (const program of PROGRAMS) {
      const running = start(program, [], { cwd: dir, env })
      await new Promise((resolve) => running.child.stdout?.once('data', resolve))
      await new Promise((resolve) => setTimeout(resolve, 500))
      const startMs = performance.now()
      running.signalGroup('SIGINT')
      t.match(await running.done, { status: 130 }, program)
      t.ok(performance.now() - startMs < 5000, `after ${performance.now() - startMs} ms`)
    }
    t.equal(await docker('image', 'ls', '--all', '--quiet'), '')
  })
}
