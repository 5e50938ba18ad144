import { appendFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { Catalog } from '../../../lib/delivery/catalog.ts'
import { checkIndexed, findIndexed } from '../../../lib/delivery/layer-sources.ts'
import { LAYERS, carryLayers, xzCoding } from '../../fixtures/archive-writing.ts'
import { sha256 } from '../../fixtures/digest.ts'

t.test('checkIndexed: tells of what cannot be used, unless nothing is to be reused', async (t) => {
  const dir = await carryLayers(t)
  await appendFile(join(dir, '1.tar.xz'), 'x')
  await writeFile(join(dir, '2.tar.xz.json'), '{')
  await rm(join(dir, '0.tar.xz'))
  await symlink('0.tar.xz', join(dir, '0.tar.xz'))
  const told: string[] = []
  for (const force of [true, false]) {
    await checkIndexed({ reuse: [new Catalog(dir)], force }, (text) => told.push(text))
    t.equal(told.length, force ? 0 : 3)
  }
  t.match(told.toSorted(), [
    /^".*1\.tar\.xz": size: got /,
    /^in ".*2\.tar\.xz\.json": not JSON/,
    /^read ".*0\.tar\.xz": got a symbolic link, .*; its layers are not used$/,
  ])
})

// what is asked for, the layers that are found
const WANTED: [string, object, number[]][] = [
  ['level 0', { coding: xzCoding(0) }, [0]],
  ['level 1', { coding: xzCoding(1) }, [1]],
  ['level 2', { coding: xzCoding(2) }, []],
  ['everything anew', { coding: xzCoding(0), force: true }, []],
]

for (const [what, wanted, want] of WANTED) {
  t.test(`findIndexed: ${what}`, async (t) => {
    const dir = await carryLayers(t)
    for (const [own, reuse] of [
      [dir, []],
      [join(dir, 'none'), [dir]],
      [dir, [join(dir, 'none')]],
      [join(dir, 'none'), [join(dir, 'none'), dir]],
    ] as const) {
      const found = await findIndexed({
        directory: new Catalog(own),
        reuse: reuse.map((each) => new Catalog(each)),
        coding: xzCoding(0),
        force: false,
        ...wanted,
      })
      t.strictSame(
        found.map(({ digest }) => digest),
        want.map((index) => sha256(LAYERS[index] ?? '')),
      )
    }
  })
}

t.test('findIndexed: a directory that was named has to be there', async (t) => {
  const dir = t.testdir({})
  const [directory, none] = [new Catalog(dir), new Catalog(join(dir, 'none'))]
  const options = { directory, reuse: [none], coding: xzCoding(0), force: false }
  await t.rejects(findIndexed(options), { code: 'NO_DIRECTORY' })
})

t.test('findIndexed: a directory that is named twice counts once', async (t) => {
  const directory = new Catalog(await carryLayers(t))
  const options = { directory, reuse: [directory], coding: xzCoding(0), force: false }
  t.equal((await findIndexed(options)).length, 1)
})
