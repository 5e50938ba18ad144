import { existsSync, readFileSync } from 'node:fs'
import { symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { noteLeftOut, placeList, takeOffList } from '../../../lib/delivery/delivered-list.ts'
import { Directory } from '../../../lib/delivery/directory.ts'
import { sh } from '../../fixtures/run.ts'

const NAME = 'images_list.txt'

async function isWhole(dir: string): Promise<boolean> {
  return (await sh('sha256sum --strict -c SHA256SUMS 2>&1', { cwd: dir })).endsWith(': OK')
}

t.test('placeList: the list goes in as it is, and is listed', async (t) => {
  const dir = t.testdir({})
  const list = Buffer.from('# wanted\na:1\n')
  for (const text of [list, list, Buffer.from('b:1\n')]) {
    t.equal(await placeList(new Directory(dir), text), undefined)
    t.strictSame(readFileSync(join(dir, NAME)), text)
    t.ok(await isWhole(dir))
  }
})

t.test('placeList: the list that lies there already, and was edited there', async (t) => {
  const dir = t.testdir({ [NAME]: 'a:1\n' })
  t.equal(await placeList(new Directory(dir), Buffer.from('a:1\n')), undefined)
  await writeFile(join(dir, NAME), 'a:1\nb:1\n')
  t.equal(await placeList(new Directory(dir), Buffer.from('a:1\nb:1\n')), undefined)
  t.ok(await isWhole(dir))
})

t.test("placeList: somebody's own list stays", async (t) => {
  const dir = t.testdir({ [NAME]: 'mine:1\n' })
  t.match(
    await placeList(new Directory(dir), Buffer.from('a:1\n')),
    /another list, or was changed by hand/,
  )
  t.equal(readFileSync(join(dir, NAME), 'utf8'), 'mine:1\n')
  t.notOk(existsSync(join(dir, 'SHA256SUMS')))
  const linked = t.testdir({ other: 'mine:1\n' })
  await symlink('other', join(linked, NAME))
  t.match(await placeList(new Directory(linked), Buffer.from('a:1\n')), /got a symbolic link/)
  t.equal(readFileSync(join(linked, 'other'), 'utf8'), 'mine:1\n')
})

t.test('takeOffList: what was forgotten, and the list with the last of it', async (t) => {
  const dir = t.testdir({})
  t.equal(await takeOffList(new Directory(dir), new Set(['a:1'])), undefined)
  await placeList(new Directory(dir), Buffer.from('# wanted\na:1 # first\nb:1\n'))
  t.equal(await takeOffList(new Directory(dir), new Set(['c:1'])), undefined)
  t.equal(await takeOffList(new Directory(dir), new Set(['a:1'])), 'taken off images_list.txt')
  t.equal(readFileSync(join(dir, NAME), 'utf8'), '# wanted\nb:1\n')
  t.ok(await isWhole(dir))
  t.equal(await takeOffList(new Directory(dir), new Set(['b:1'])), 'taken off images_list.txt')
  t.equal(readFileSync(join(dir, NAME), 'utf8'), '# wanted\n', 'what somebody wrote')
  t.ok(await isWhole(dir))
  await placeList(new Directory(dir), Buffer.from('a:1\n'))
  t.equal(await takeOffList(new Directory(dir), new Set(['a:1'])), 'taken off images_list.txt')
  t.notOk(existsSync(join(dir, NAME)))
  t.notOk(existsSync(join(dir, 'SHA256SUMS')))
})

t.test('takeOffList: a list that no save put there', async (t) => {
  const dir = t.testdir({ [NAME]: 'a:1\n' })
  t.equal(
    await takeOffList(new Directory(dir), new Set(['a:1'])),
    'images_list.txt here still names it',
  )
  t.equal(readFileSync(join(dir, NAME), 'utf8'), 'a:1\n')
})

t.test('noteLeftOut: archives that are not on the list', async (t) => {
  const dir = t.testdir({ 'a-1.tar.xz': '', 'a-1.increment.tar.zst': '' })
  t.equal(await noteLeftOut(new Directory(dir)), undefined)
  await placeList(new Directory(dir), Buffer.from('a:1\n'))
  t.equal(await noteLeftOut(new Directory(dir)), undefined)
  await writeFile(join(dir, 'b-1.tar.xz'), '')
  t.match(
    await noteLeftOut(new Directory(dir)),
    /^1 archive here is not on the list: "b-1.tar.xz"; verify and load take what is not on it only by name$/,
  )
  for (const letter of 'cdefg') await writeFile(join(dir, `${letter}-1.tar.xz`), '')
  t.match(
    await noteLeftOut(new Directory(dir)),
    /^6 archives here are .*"f-1.tar.xz", and 1 more; /,
  )
})

t.test('noteLeftOut: a list that is none of the delivery', async (t) => {
  const dir = t.testdir({ [NAME]: 'mine:1\n', 'a-1.tar.xz': '' })
  t.match(
    await noteLeftOut(new Directory(dir)),
    /^SHA256SUMS does not have ".*images_list.txt" as it is. Verify and load take nothing here until/,
  )
  await writeFile(join(dir, NAME), '# nothing\n')
  await placeList(new Directory(dir), Buffer.from('# nothing\n'))
  t.match(await noteLeftOut(new Directory(dir)), /names no image/)
  const linked = t.testdir({ other: 'mine:1\n' })
  await symlink('other', join(linked, NAME))
  t.match(await noteLeftOut(new Directory(linked)), /got a symbolic link/)
})
