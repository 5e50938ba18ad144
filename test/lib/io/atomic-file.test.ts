import * as files from 'node:fs/promises'
import { readFile, readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import t from 'tap'

import {
  createAtomicFile,
  isPendingName,
  isTemporaryName,
  syncDirectory,
  temporaryPath,
  writeFileAtomic,
} from '../../../lib/io/atomic-file.ts'

t.test('createAtomicFile: the old file stays until the new one is whole', async (t) => {
  const dir = t.testdir({ a: 'old' })
  const file = await createAtomicFile(dir)
  await file.handle.writeFile('new')
  await file.finish()
  t.equal(await readFile(join(dir, 'a'), 'utf8'), 'old')
  await file.commit(join(dir, 'a'))
  await file.discard()
  t.equal(await readFile(join(dir, 'a'), 'utf8'), 'new')
  t.strictSame(await readdir(dir), ['a'])
  t.equal((await stat(join(dir, 'a'))).mode & 0o777, 0o644)
})

t.test('discard: leaves nothing, before and after it is finished', async (t) => {
  const dir = t.testdir({ a: 'old' })
  for (const isFinished of [false, true]) {
    const file = await createAtomicFile(dir)
    await file.handle.writeFile('new')
    if (isFinished) await file.finish()
    await file.discard()
    t.strictSame(await readdir(dir), ['a'])
  }
  t.equal(await readFile(join(dir, 'a'), 'utf8'), 'old')
})

t.test('writeFileAtomic: writes all of it', async (t) => {
  const dir = t.testdir({ a: 'old, and longer' })
  await writeFileAtomic(join(dir, 'a'), 'new')
  t.equal(await readFile(join(dir, 'a'), 'utf8'), 'new')
  t.strictSame(await readdir(dir), ['a'])
})

t.test('writeFileAtomic: leaves nothing where it fails', async (t) => {
  const dir = t.testdir({ a: {} })
  await t.rejects(writeFileAtomic(join(dir, 'a'), 'x'), { code: 'EISDIR' })
  t.strictSame(await readdir(dir), ['a'])
  await t.rejects(writeFileAtomic(join(dir, 'none', 'a'), 'x'), { code: 'ENOENT' })
})

t.test('isTemporaryName: own names, those of older tools, and nothing else', async (t) => {
  const dir = t.testdir()
  const [file, metadata] = [await temporaryPath(dir), await temporaryPath(dir, 'metadata')]
  const label = new RegExp(`-${process.pid}-[0-9a-f]{16}(\\.metadata)?\\.tmp$`)
  for (const path of [file, metadata]) {
    t.match(basename(path), label)
    t.equal(isTemporaryName(basename(path)), true)
  }
  t.equal(isPendingName(basename(file)), false)
  t.equal(isPendingName(basename(metadata)), true)
  t.equal(isTemporaryName(`.dgx-offline-images-${'0'.repeat(16)}.tmp`), true)
  const others = ['.dgx-offline-images-1.tmp', '.dgx-offline-images.lock', '.other.tmp', 'a.tar.xz']
  for (const name of [...others, `x${'0'.repeat(16)}.tmp`, `${basename(file)}x`]) {
    t.equal(isTemporaryName(name), false, name)
  }
})

t.test('syncDirectory: takes a directory, and tells where there is none', async (t) => {
  const dir = t.testdir()
  await t.resolves(syncDirectory(dir))
  await t.rejects(syncDirectory(join(dir, 'none')), { code: 'ENOENT' })
})

t.test(
  'syncDirectory: a file system that knows no such thing is none to complain of',
  async (t) => {
    await t.resolves(syncDirectory('/proc'))
  },
)

t.test('syncDirectory: a disk that fails is told', async (t) => {
  const { syncDirectory: sync } = await t.mockImport<
    typeof import('../../../lib/io/atomic-file.ts')
  >('../../../lib/io/atomic-file.ts', {
    'node:fs/promises': t.createMock(files, {
      async open(path: string) {
        const handle = await files.open(path)
        handle.sync = () => Promise.reject(broken)
        return handle
      },
    }),
  })
  const broken = Object.assign(new Error('EIO: i/o error, fsync'), {
    code: 'EIO',
    syscall: 'fsync',
  })
  await t.rejects(sync(t.testdir()), { code: 'EIO' })
})
