// A second local user, who changes a delivery while root reads it, or wants to keep
// root from writing to a directory.
import { chown, cp, mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { hexOf, sha256 } from '../fixtures/digest.ts'
import { startEngine } from '../fixtures/docker-engine.ts'
import { run, startFile } from '../fixtures/run.ts'
import { GREETING } from '../fixtures/sample-layers.ts'
import { tar } from '../fixtures/tar-builder.ts'
import { removeImages } from '../fixtures/workbench.ts'
import { APP, deliver } from '../fixtures/wrong-deliveries.ts'

const engine = await startEngine()
t.teardown(engine.stop)
const { env, docker } = engine

const USER = 12345
const asUser = (script: string, cwd: string) =>
  startFile(
    'setpriv',
    [`--reuid=${USER}`, `--regid=${USER}`, '--clear-groups', 'sh', '-c', script],
    {
      cwd,
    },
  )

// Each file is now this month's, now last month's, now a link to it, in no order.
const SWAP = `
touch ready
while :; do
  for file in SHA256SUMS *.xz *.json; do
    for month in new last; do
      cp "../$month/$file" .swap && mv -f .swap "$file"
      [ $month = new ] || { ln -s "../$month/$file" .swap && mv -f .swap "$file"; }
    done
  done
done
`

t.test('second user: what is loaded is what the value that was carried tells', async (t) => {
  // Where the other user may go, too.
  const root = join(engine.dir, 'swapped')
  await mkdir(root, { mode: 0o755 })
  const [good, last, dir] = [join(root, 'new'), join(root, 'last'), join(root, 'dir')]
  for (const [month, seed] of [
    [good, 'new'],
    [last, 'last'],
  ] as const) {
    await mkdir(month)
    await deliver(month, seed)
  }
  await cp(good, dir, { recursive: true })
  await chown(dir, USER, USER)
  for (const name of await readdir(dir)) await chown(join(dir, name), USER, USER)
  const value = hexOf(sha256(await readFile(join(good, 'SHA256SUMS'))))
  const args = ['--sums-sha256', value, '--force']
  const whole = await run('load_compressed_tars', args, { cwd: good, env })
  t.match(whole, { status: 0 })
  const ofGood = await docker('image', 'inspect', '--format', '{{.Id}}', APP)
  await removeImages(engine)

  const swapping = asUser(SWAP, dir)
  t.teardown(() => swapping.signalGroup('SIGKILL'))
  const results = new Set<number | null>()
  for (let n = 0; n < 6; n++) {
    const { status, stderr } = await run('load_compressed_tars', args, { cwd: dir, env })
    t.notMatch(stderr, /^ {4}at /m, 'it is no bug')
    results.add(status)
    const ids = await docker('image', 'ls', '--no-trunc', '--quiet', '--filter', `reference=${APP}`)
    t.match(ids, new RegExp(`^(${ofGood})?$`), 'this month, or nothing')
  }
  swapping.signalGroup('SIGKILL')
  t.ok(results.has(1), 'some were refused')
  t.ok((await readdir(dir)).includes('ready'), 'files were swapped')
})

t.test("second user: holds no lock in root's directory", async (t) => {
  const dir = join(engine.dir, 'locked')
  await mkdir(dir, { mode: 0o755 })
  await writeFile(join(dir, 'a.tar'), tar([GREETING]))
  const tries = `
    exec 9<. && flock --exclusive --nonblock 9
    ln -s nowhere .dgx-offline-images.lock 2>/dev/null && exit 3
    mkdir .dgx-offline-images.lock.takeover 2>/dev/null && exit 3
    echo tried
    sleep 60`
  const holding = asUser(tries, dir)
  t.teardown(() => holding.signalGroup('SIGKILL'))
  await new Promise((resolve) => holding.child.stdout?.once('data', resolve))
  t.match(await run('compress_tars', ['--level', '0'], { cwd: dir, env }), { status: 0 })
  t.ok((await readdir(dir)).includes('a.tar.xz'))
  holding.signalGroup('SIGKILL')
})
