import { join } from 'node:path'
import t, { type Test } from 'tap'

import {
  checkExists,
  findReferences,
  findTargets as findTargetsIn,
  type Target,
  type TargetOptions,
} from '../../../lib/commands/targets.ts'
import { formatMetadata } from '../../../lib/delivery/metadata.ts'
import { plainDelivery } from '../../fixtures/plain-delivery.ts'
import { SAMPLE_RECORD } from '../../fixtures/sample-record.ts'

/** Runs the test in a directory of these files, as a person does. */
function enter(t: Test, files: Parameters<Test['testdir']>[0]): void {
  const before = process.cwd()
  process.chdir(t.testdir(files))
  t.teardown(() => process.chdir(before))
}

function findTargets(options: TargetOptions & { readonly dir: string }): Promise<Target[]> {
  return findTargetsIn({ ...options, notify: () => {} }, plainDelivery())
}

const NONE = { names: [], list: undefined, dir: 'carry' }

t.test('findReferences: what was named, each once', async (t) => {
  enter(t, { 'images_list.txt': 'c:1\n' })
  t.match(await findReferences({ ...NONE, names: ['b:1', 'a:1', 'b:1'] }), {
    references: [{ text: 'b:1' }, { text: 'a:1' }],
    list: undefined,
  })
})

t.test('findReferences: else the list that was asked for, else images_list.txt', async (t) => {
  enter(t, { 'images_list.txt': 'c:1\n', 'my.txt': 'd:1\n' })
  const named = await findReferences({ ...NONE, list: 'my.txt' })
  t.match(named, { references: [{ text: 'd:1' }], list: Buffer.from('d:1\n') })
  t.match(await findReferences(NONE), { references: [{ text: 'c:1' }] })
})

t.test('findReferences: tells what is wrong before anything is done', async (t) => {
  enter(t, { 'bad.txt': 'a:1\nB\n', 'clash.txt': 'a/b:1\na_b:1\n' })
  await t.rejects(findReferences(NONE), {
    code: 'BAD_LIST',
    message: 'images_list.txt not found in this directory',
  })
  await t.rejects(findReferences({ ...NONE, list: 'bad.txt' }), {
    code: 'BAD_LIST',
    message: 'bad.txt:2: ',
  })
  await t.rejects(findReferences({ ...NONE, list: '.' }), { code: 'BAD_FILE' })
  await t.rejects(findReferences({ ...NONE, list: 'clash.txt' }), { code: 'NAME_CLASH' })
  await t.rejects(findReferences({ ...NONE, names: ['a/b:1', 'a_b:1'] }), { code: 'NAME_CLASH' })
  await t.rejects(findReferences({ ...NONE, names: ['A'] }), { code: 'BAD_REFERENCE' })
})

t.test('findTargets: images and archives that were named, each once', async (t) => {
  const names = ['r.io/a:1', 'else/b.tar.xz', 'c.tar.xz', 'r.io/a:1', './d.tar.xz']
  const targets = await findTargets({ ...NONE, names })
  t.match(targets, [
    {
      archive: join('carry', 'r.io_a-1.tar.xz'),
      label: 'r.io/a:1',
      reference: { text: 'r.io/a:1' },
    },
    { archive: 'else/b.tar.xz', label: 'b.tar.xz', reference: undefined },
    { archive: join('carry', 'c.tar.xz'), label: 'c.tar.xz', reference: undefined },
    { archive: './d.tar.xz', label: 'd.tar.xz', reference: undefined },
  ])
  t.equal(targets.length, 4)
  await t.rejects(findTargets({ ...NONE, names: ['A.tar'] }), {
    code: 'BAD_REFERENCE',
  })
})

// what lies there, the archives that are meant
const IN_PARTS: [string[], string[]][] = [
  [[], ['a-1.tar.xz']],
  [['a-1.tar.xz'], ['a-1.tar.xz']],
  [['a-1.increment.tar.xz'], ['a-1.increment.tar.xz']],
  [['a-1.increment.tar.xz', 'a-1.tar.xz'], ['a-1.increment.tar.xz']],
]

for (const [files, want] of IN_PARTS) {
  t.test(`findTargets: an image of which there is ${files.join(', ') || 'nothing'}`, async (t) => {
    const carry = Object.fromEntries(files.map((name) => [name, '']))
    enter(t, { 'images_list.txt': 'c:1\n', carry: { ...carry, 'images_list.txt': 'a:1\n' } })
    for (const names of [['a:1'], []]) {
      const targets = await findTargets({ ...NONE, names })
      t.match(
        targets,
        want.map((name) => ({ archive: join('carry', name), label: 'a:1' })),
      )
      t.equal(targets.length, want.length)
    }
  })
}

t.test('findTargets: an image whose tag ends as the name of an increment does', async (t) => {
  const carry = {
    'a-1.tar.xz': '',
    'a-1.increment.tar.xz': '',
    'a-1.increment.tar.xz.json': formatMetadata(SAMPLE_RECORD),
  }
  enter(t, { carry })
  t.match(await findTargets({ ...NONE, names: ['a:1', 'a:1.increment'] }), [
    { archive: 'carry/a-1.tar.xz' },
    { archive: 'carry/a-1.increment.tar.xz' },
  ])
  t.match(await findTargets(NONE), [{ isSuperseded: false }, { isSuperseded: false }])
})

t.test('findTargets: a directory of the name of an increment is none', async (t) => {
  enter(t, { carry: { 'a-1.increment.tar.xz': {} } })
  t.match(await findTargets({ ...NONE, names: ['a:1'] }), [{ archive: 'carry/a-1.tar.xz' }])
})

t.test('findTargets: else the images of the list, which lies in the directory', async (t) => {
  enter(t, { 'my.txt': 'd:1\n', carry: { 'images_list.txt': 'c:1\n', 'e.tar.xz': '' } })
  t.match(await findTargets(NONE), [{ archive: join('carry', 'c-1.tar.xz'), label: 'c:1' }])
  t.match(await findTargets({ ...NONE, list: 'my.txt' }), [{ label: 'd:1' }])
})

t.test('findTargets: else all archives of the directory', async (t) => {
  const carry = { 'b.tar.xz': '', 'a.tar.xz': '', 'a.tar.xz.json': '' }
  enter(t, { 'images_list.txt': 'c:1\n', carry })
  t.strictSame(await findTargets(NONE), [
    { archive: join('carry', 'a.tar.xz'), label: 'a.tar.xz', isSuperseded: false },
    { archive: join('carry', 'b.tar.xz'), label: 'b.tar.xz', isSuperseded: false },
  ])
})

for (const increment of ['xz', 'zst']) {
  for (const full of ['xz', 'zst']) {
    const title = `an archive in full, ${full}, beside an increment, ${increment}, is superseded`
    t.test(`findTargets: ${title}`, async (t) => {
      const names = [`a.increment.tar.${increment}`, `a.tar.${full}`]
      enter(t, { carry: Object.fromEntries(names.map((name) => [name, ''])) })
      t.match(await findTargets(NONE), [
        { label: names[0], isSuperseded: false },
        { label: names[1], isSuperseded: true },
      ])
    })
  }
}

t.test('findTargets: a list that was asked for, or is bad, is not passed over', async (t) => {
  const carry = { 'a.tar.xz': '', 'images_list.txt': 'B\n' }
  enter(t, { carry, 'clash.txt': 'a/b:1\na_b:1\n' })
  await t.rejects(findTargets({ ...NONE, list: 'none.txt' }), { code: 'BAD_LIST' })
  await t.rejects(findTargets(NONE), { code: 'BAD_LIST', message: 'carry/images_list.txt:1: ' })
  await t.rejects(findTargets({ ...NONE, list: 'clash.txt' }), { code: 'NAME_CLASH' })
})

t.test('findTargets: tells where there is nothing at all', async (t) => {
  enter(t, { carry: {} })
  await t.rejects(findTargets(NONE), {
    code: 'NO_ARCHIVE',
    message: 'no archives in "carry"',
  })
})

t.test('checkExists: gives the size, and wants a file', async (t) => {
  enter(t, { 'a.tar.xz': '12345', 'dir.tar.xz': {} })
  t.equal(await checkExists({ archive: 'a.tar.xz', label: 'a' }), 5)
  await t.rejects(checkExists({ archive: 'none.tar.xz', label: 'a:1' }), {
    code: 'NO_ARCHIVE',
    message: 'read "a:1": "none.tar.xz" not found',
  })
  await t.rejects(checkExists({ archive: 'dir.tar.xz', label: 'a:1' }), { code: 'BAD_FILE' })
})

for (const stem of ['a-1', 'a-1.increment']) {
  t.test(`findTargets: two formats of ${stem}, and nothing that says which`, async (t) => {
    enter(t, { carry: { [`${stem}.tar.xz`]: '', [`${stem}.tar.zst`]: '' } })
    await t.rejects(findTargets({ ...NONE, names: ['a:1'] }), {
      code: 'NAME_CLASH',
      message: `look into "carry": there are "${stem}.tar.xz" and "${stem}.tar.zst"`,
    })
  })
}
