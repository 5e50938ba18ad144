// What decodes .xz in threads, as one file without any beside it.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { bundleEntry } from '../../../scripts/build/bundle.ts'
import { ROOT } from '../../../scripts/build/root.ts'
import { startFile } from '../../fixtures/run.ts'
import { sampleBytes, xz } from '../../fixtures/xz-archives.ts'

const ENTRY = 'test/fixtures/xz-unpacker.ts'

t.test('bundleEntry: the thread is in the file, and runs from an empty directory', async (t) => {
  const { code, packages } = await bundleEntry(ROOT, ENTRY)
  t.strictSame(packages, ['node-liblzma'])
  t.ok(code.length < 300_000, `${code.length} bytes`)
  t.equal((await bundleEntry(ROOT, ENTRY)).code, code, 'the same at each build')

  const dir = t.testdir()
  await mkdir(join(dir, 'empty'))
  await writeFile(join(dir, 'app.cjs'), code)
  const text = sampleBytes(5 * 1024 ** 2)
    .toString('latin1')
    .replaceAll(/[^a-z]/g, '.')
  await writeFile(join(dir, 'a.xz'), xz(Buffer.from(text), '-0', '--block-size=1048576'))
  const { done } = startFile(process.execPath, ['../app.cjs', '../a.xz', '2'], {
    cwd: join(dir, 'empty'),
    env: { NODE_OPTIONS: undefined },
  })
  const { status, stdout, stderr } = await done
  t.strictSame([status, stderr], [0, ''])
  t.ok(stdout === text)
})

t.test('bundleEntry: what decodes nothing has no thread', async (t) => {
  const { code, packages } = await bundleEntry(ROOT, 'lib/core/format.ts')
  t.strictSame(packages, [])
  t.ok(code.length < 10_000)
})
