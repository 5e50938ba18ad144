import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import {
  dropFiles,
  findConflicts,
  listFiles,
  parseChecksums,
  SUMS_ENCODING,
  updateChecksums,
} from '../../../lib/delivery/sha256sums.ts'
import { hexOf, sha256 } from '../../fixtures/digest.ts'
import { sh } from '../../fixtures/run.ts'

const A = hexOf(sha256('a'))
const B = hexOf(sha256('b'))
const NAMES = ['plain.tar.xz', 'with blank', 'back\\slash', 'new\nline', '\\n', '*star', 'größe']

// what, text, the checksums
const TEXTS: [string, string, [string, string][]][] = [
  ['nothing', '', []],
  ['text and binary marks', `${A}  x\n${B} *y\n`, [['x', A], ['y', B]]], // prettier-ignore
  ['CRLF', `${A}  x\r\n${B}  y\r\n`, [['x', A], ['y', B]]], // prettier-ignore
  ['a last line without its end', `${A}  x`, [['x', A]]],
  ['escaped names', `\\${A}  a\\\\n\\nb\n`, [['a\\n\nb', A]]],
  ['the last of a name', `${A}  x\n${B}  x\n`, [['x', B]]],
  ['nothing else', `# ${A}  x\n${A}\n${A} x\n${A.slice(1)}  x\n`, []],
  ['what was written by another hand', `${A.toUpperCase()}  ./x\n`, [['x', A]]],
  ['a name with more of the directory itself', `${A}  .//././x\n`, [['x', A]]],
]

for (const [what, text, want] of TEXTS) {
  t.test(`parseChecksums: takes ${what}`, async (t) => {
    t.strictSame([...parseChecksums(text)], want)
  })
}

t.test('listFiles: each file once, with the bytes of its name', async (t) => {
  const text = `${A}  x\n${B}  x\n# no\n${A}  caf\xe9.txt\n\\${A}  a\\nb\n`
  t.strictSame(
    listFiles(text).map(({ bytes }) => bytes.toString('latin1')),
    ['x', 'caf\xe9.txt', 'a\nb'],
  )
})

// what, text, the names
const CONFLICTS: [string, string, string[]][] = [
  ['nothing', '', []],
  ['the same twice', `${A}  x\n${A.toUpperCase()} *./x\r\n`, []],
  ['another checksum', `${A}  x\n${A}  y\n${B}  x\n`, ['x']],
  ['the first again at the end', `${A}  x\n${B}  x\n${A}  x\n`, ['x']],
  ['two names, in the order that they are found', `${A}  x\n${A}  y\n${B}  y\n${B}  ./x\n`, ['y', 'x']],
  ['a name written in two ways', `${A}  x\n\\${B}  x\n`, ['x']],
  ['other lines', `# ${A}  x\n${B}  x\n`, []],
  ['names that differ in no UTF-8', `${A}  \xe9\n${B}  \xe8\n`, []],
] // prettier-ignore

for (const [what, text, want] of CONFLICTS) {
  t.test(`findConflicts: ${what}`, async (t) => {
    t.strictSame(findConflicts(text), want)
  })
}

t.test('findConflicts: many lines take no long time', async (t) => {
  const lines = Array.from({ length: 200_000 }, (_, index) => `${A}  ${index}\n`)
  t.strictSame(findConflicts(`${lines.join('')}${B}  7\n`), ['7'])
})

t.test('keepOthers: without it only checksums are left', async (t) => {
  const before = `root:x:0:0\r\n\n${A}  old\n${A}  other\n${A}\n${A}  caf\xe9\nlast`
  const changes = new Map([['old', B]])
  const want = `${A}  other\n${A}  caf\xe9\n${B}  old\n`
  t.equal(updateChecksums(before, changes, { keepOthers: false }), want)
  t.equal(updateChecksums(before, new Map(), { keepOthers: true }).split('\n').length, 7)
  const files = listFiles(`${A}  caf\xe9\n`)
  t.equal(dropFiles(before, files, { keepOthers: false }), `${A}  old\n${A}  other\n`)
  t.equal(dropFiles(before, files), `root:x:0:0\n${A}  old\n${A}  other\n${A}\nlast\n`)
})

t.test('updateChecksums: keeps what is not ours, replaces, removes, adds at the end', async (t) => {
  const before = `# by hand\r\n${A}  old\n\n${A}  gone\n${A}  other\n`
  const changes = new Map([
    ['old', B],
    ['gone', undefined],
    ['new', B],
    ['never there', undefined],
  ])
  t.equal(updateChecksums(before, changes), `# by hand\n${A}  other\n${B}  old\n${B}  new\n`)
})

t.test(
  'updateChecksums: a line of ours by another hand is replaced, a name in no UTF-8 kept',
  async (t) => {
    const foreign = `${A}  caf\xe9.txt\n`
    const changes = new Map([['x', B]])
    t.equal(updateChecksums(`${foreign}${A}  ./x\n`, changes), `${foreign}${B}  x\n`)
  },
)

t.test('sha256sum: its lines are understood, and it understands ours', async (t) => {
  const dir = join(t.testdir({ files: {} }), 'files')
  await Promise.all(NAMES.map((name) => writeFile(join(dir, name), name)))
  const want = new Map(NAMES.toSorted().map((name) => [name, hexOf(sha256(name))]))
  await sh('sha256sum -- * >../theirs', { cwd: dir })
  const theirs = parseChecksums(await readFile(join(dir, '../theirs'), SUMS_ENCODING))
  t.strictSame(theirs, want)

  await writeFile(join(dir, 'SHA256SUMS'), updateChecksums('', want), SUMS_ENCODING)
  const checked = await sh('sha256sum --strict -c SHA256SUMS', { cwd: dir })
  t.equal(checked.match(/: OK$/gm)?.length, NAMES.length)
})
