import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import {
  listFiles,
  parseChecksums,
  SUMS_ENCODING,
  updateChecksums,
} from '../../lib/checksum-file.ts'
import { hexOf, sha256 } from '../fixtures/digest.ts'
import { sh } from '../fixtures/run.ts'

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
