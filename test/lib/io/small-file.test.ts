import { once } from 'node:events'
import { link, mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'

import { lookAtFile, readSmallFile } from '../../../lib/io/small-file.ts'
import { hexOf, sha256 } from '../../fixtures/digest.ts'
import { sh } from '../../fixtures/run.ts'

for (const size of [0, 1, 99, 100, 101]) {
  t.test(`readSmallFile: ${size} bytes, where there may be 100`, async (t) => {
    const bytes = Buffer.alloc(size, 'x')
    const path = join(t.testdir({ a: bytes }), 'a')
    const reading = readSmallFile(path, { maxBytes: 100 })
    if (size > 100) {
      await t.rejects(reading, {
        code: 'BAD_FILE',
        message: `read "${path}": size: got 101 bytes, want at most 100`,
      })
    } else {
      const read = { bytes, sha256: hexOf(sha256(bytes)), isForeign: false }
      t.strictSame(await reading, read)
    }
  })
}

t.test('readSmallFile: a large one, in several pieces', async (t) => {
  const bytes = Buffer.alloc(600_000, 'ab')
  const path = join(t.testdir({ a: bytes }), 'a')
  t.ok((await readSmallFile(path, { maxBytes: 1_000_000 }))?.bytes.equals(bytes))
})

t.test('readSmallFile: nothing where there is none', async (t) => {
  const dir = t.testdir({ a: '' })
  for (const path of ['none', 'a/b', 'none/b']) {
    t.equal(await readSmallFile(join(dir, path), { maxBytes: 1 }), undefined)
    t.equal(await readSmallFile(join(dir, path), { maxBytes: 1, readPipes: true }), undefined)
  }
})

t.test('readSmallFile: what no file of a delivery is, at once', async (t) => {
  // The name of a socket has to be short.
  const dir = await mkdtemp(join(tmpdir(), 'files-'))
  t.teardown(() => rm(dir, { recursive: true }))
  const server = createServer().listen(join(dir, 'a socket'))
  await once(server, 'listening')
  t.teardown(() => server.close())
  await symlink('file', join(dir, 'a symbolic link'))
  await mkdir(join(dir, 'a directory'))
  await sh(`mkfifo 'a named pipe'; mknod 'a device' c 1 5`, { cwd: dir })
  for (const kind of ['socket', 'symbolic link', 'directory', 'named pipe', 'device']) {
    const path = join(dir, `a ${kind}`)
    const refusal = {
      code: 'BAD_FILE',
      message: `read "${path}": got a ${kind}, want a regular file`,
    }
    await t.rejects(readSmallFile(path, { maxBytes: 10 }), refusal)
    await t.rejects(lookAtFile(path), refusal)
  }
})

t.test('readSmallFile: a sparse giant is not read', async (t) => {
  const path = join(t.testdir({ a: '' }), 'a')
  await truncate(path, 2 ** 40)
  await t.rejects(readSmallFile(path, { maxBytes: 1000 }), {
    code: 'BAD_FILE',
    message: `got ${2 ** 40} bytes, want at most 1000`,
  })
})

t.test('readSmallFile: what a person keeps or named may be a link, or a pipe', async (t) => {
  const dir = t.testdir({ file: 'x' })
  await symlink('file', join(dir, 'link'))
  const kept = await readSmallFile(join(dir, 'link'), { maxBytes: 10, followLinks: true })
  t.strictSame(kept?.bytes, Buffer.from('x'))
  await sh('mkfifo pipe', { cwd: dir })
  const pipe = join(dir, 'pipe')
  await t.rejects(readSmallFile(pipe, { maxBytes: 10, followLinks: true }), { code: 'BAD_FILE' })
  const reading = readSmallFile(pipe, { maxBytes: 10, readPipes: true })
  await writeFile(pipe, 'named')
  t.strictSame((await reading)?.bytes, Buffer.from('named'))
  await t.rejects(readSmallFile(dir, { maxBytes: 10, readPipes: true }), { code: 'BAD_FILE' })
})

t.test('readSmallFile: whether it may be another file', async (t) => {
  const dir = t.testdir({ a: '1', b: '2' })
  await link(join(dir, 'a'), join(dir, 'c'))
  t.match(await readSmallFile(join(dir, 'a'), { maxBytes: 1 }), { isForeign: true })
  await sh('chown 12345 b', { cwd: dir })
  t.match(await readSmallFile(join(dir, 'b'), { maxBytes: 1 }), { isForeign: true })
})
