import { symlink } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { Directory, checkDirectory, openCatalogs } from '../../../lib/delivery/directory.ts'

t.test('checkDirectory: wants a directory', async (t) => {
  const dir = t.testdir({ file: '' })
  await t.resolves(checkDirectory(dir))
  for (const name of ['none', 'file']) {
    const path = join(dir, name)
    await t.rejects(checkDirectory(path), {
      code: 'NO_DIRECTORY',
      message: `directory not found: "${path}"`,
    })
    await t.rejects(openCatalogs([path], new Directory(dir)), { code: 'NO_DIRECTORY' })
  }
})

t.test('openCatalogs: one catalog a directory, however it is named', async (t) => {
  const dir = t.testdir({ own: {}, other: {} })
  await symlink('own', join(dir, 'link'))
  const own = new Directory(join(dir, 'own'))
  const names = ['other', 'link', 'own/.', 'own/../other', 'own']
  const [other, ...more] = await openCatalogs(
    names.map((name) => join(dir, name)),
    own,
  )
  t.equal(other?.dir, join(dir, 'other'))
  t.ok([0, 1, 3].every((index) => more[index] === own))
  t.equal(more[2], other)
})
