// Two runs that write to one directory and do not see each other: from another
// network namespace, another container, another host. One works, the other is
// refused; a run that lost its lock changes nothing any more.
import { mkdir, readFile, readdir, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { PLACES, SECOND_HOST, startProgramElsewhere } from '../fixtures/elsewhere.ts'
import { complaint, wrapCommand } from '../fixtures/faults.ts'
import { start } from '../fixtures/run.ts'
import { buildImage, dataLayer } from '../fixtures/sample-images.ts'
import { archiveOf, recordOf, setUp, snapshot, until } from '../fixtures/workbench.ts'

const SAVE = 'save_compressed_tars'
const COMPRESS = 'compress_tars'
const LOCK = '.dgx-offline-images.lock'

const bench = await setUp(t)
const { reference } = await buildImage(bench.engine, bench.registry, {
  name: 'sample/data:1.0',
  layers: [dataLayer('data')],
})
const archive = archiveOf({ reference })
const WHOLE = [archive, `${archive}.json`, 'SHA256SUMS']
const scratch = t.testdir({})

/** Starts a save whose compressor waits, and waits for that; its archive is there of another level. */
async function startSlowSave(name: string) {
  const dir = join(scratch, name)
  await mkdir(dir)
  await bench.run(SAVE, dir, '--no-pull', '--level', '0', reference)
  const wait = `: >'${dir}-started'; until [ -e '${dir}-go' ]; do sleep 0.05; done`
  const script = `case "$*" in *-t*) ${wait} ;; esac; exec "$real" "$@"`
  const path = await wrapCommand(`${dir}-bin`, 'pixz', script)
  const running = start(SAVE, ['--no-pull', '--level', '1', reference], {
    cwd: dir,
    env: { ...bench.engine.env, ...path },
  })
  await until('the compressor', async () => (await readdir(scratch)).includes(`${name}-started`))
  return { dir, running, goOn: () => writeFile(`${dir}-go`, '') }
}

for (const place of PLACES) {
  t.test(`two writers: a save and a compress from another ${place} are refused`, async (t) => {
    const { dir, running, goOn } = await startSlowSave(place)
    await writeFile(join(scratch, `${place}.tar`), 'x'.repeat(1024))
    const runs = [
      [SAVE, ['--no-pull', reference]],
      [COMPRESS, [join(scratch, `${place}.tar`)]],
    ] as const
    for (const [program, args] of runs) {
      const other = await startProgramElsewhere(place, scratch, program, args, {
        cwd: dir,
        env: bench.engine.env,
      })
      const result = await other.done
      t.equal(result.status, 1)
      t.match(complaint(program, result), {
        errors: [/^write to "\.": locked by another run \(save_compressed_tars, PID \d+.*, since /],
        hints: ['wait for its end, or use another --dir'],
      })
    }
    await goOn()
    t.match(await running.done, { status: 0 })
    t.equal((await recordOf(dir, archive)).archive.level, 1)
    t.strictSame((await readdir(dir)).toSorted(), WHOLE)
    await t.resolves(bench.sh(dir, 'sha256sum --strict -c SHA256SUMS'))
  })
}

t.test('two writers: of two saves at once, from two network namespaces, one works', async (t) => {
  const dir = join(scratch, 'both')
  await mkdir(dir)
  const options = { cwd: dir, env: bench.engine.env }
  const args = ['--no-pull', reference]
  const runs = await Promise.all([
    startProgramElsewhere('network', scratch, SAVE, args, options),
    startProgramElsewhere('network', scratch, SAVE, args, options),
  ])
  const results = await Promise.all(runs.map(({ done }) => done))
  for (const result of results.filter(({ status }) => status !== 0)) {
    t.match(result.stderr, /locked by another run/)
  }
  t.ok(results.some(({ status }) => status === 0))
  t.strictSame((await readdir(dir)).toSorted(), WHOLE)
  await t.resolves(bench.sh(dir, 'sha256sum --strict -c SHA256SUMS'))
})

t.test('two writers: a run that was suspended for long has lost its lock', async (t) => {
  const { dir, running, goOn } = await startSlowSave('suspended')
  running.signalGroup('SIGSTOP')
  const then = new Date(Date.now() - 61_000)
  await utimes(join(dir, LOCK), then, then)
  const other = await startProgramElsewhere(
    'host',
    scratch,
    SAVE,
    ['--no-pull', '--level', '2', reference],
    { cwd: dir, env: bench.engine.env },
  )
  t.match(await other.done, { status: 0 })
  const before = await snapshot(dir)
  await goOn()
  running.signalGroup('SIGCONT')
  const result = await running.done
  t.equal(result.status, 1)
  t.match(result.stderr, /write to "\.": lost its lock\n/)
  t.strictSame(await snapshot(dir), before)
  t.equal((await recordOf(dir, archive)).archive.level, 2)
})

t.test(
  'two writers: what a host that crashed left is taken over once its lock is old',
  async (t) => {
    const dir = join(scratch, 'crashed')
    await mkdir(dir)
    const other = await startProgramElsewhere('host', scratch, SAVE, ['--no-pull', reference], {
      cwd: dir,
      env: bench.engine.env,
    })
    await until('its lock', async () => (await readdir(dir)).includes(LOCK))
    await until('who it is', async () => (await readFile(join(dir, LOCK), 'utf8')) !== '')
    other.signalGroup('SIGKILL')
    await other.done
    const refused = await bench.run(SAVE, dir, '--no-pull', reference)
    t.match(refused.stderr, new RegExp(` on host "${SECOND_HOST}", since `))
    const then = new Date(Date.now() - 61_000)
    await utimes(join(dir, LOCK), then, then)
    t.match(await bench.run(SAVE, dir, '--no-pull', reference), { status: 0 })
    t.strictSame((await readdir(dir)).toSorted(), WHOLE)
  },
)
