import t from 'tap'

import { MAX_NAME_BYTES, readMeta } from '../../../lib/tar/pax.ts'

// what, type, content, what it says
const METAS: [string, string, string, object][] = [
  ['a GNU long name', 'L', 'a/b\0', { path: 'a/b' }],
  ['a GNU long name without its end', 'L', 'a/b', { path: 'a/b' }],
  ['a GNU long name up to the first NUL', 'L', 'a\0b\0\0', { path: 'a' }],
  ['a GNU long name of NULs', 'L', '\0'.repeat(MAX_NAME_BYTES), { path: '' }],
  ['a GNU long link', 'K', '../c\0', { linkPath: '../c' }],
  ['no pax record', 'x', '', {}],
  ['a pax path', 'x', '10 path=a\n', { path: 'a' }],
  ['a pax path in UTF-8, counted in bytes', 'x', '14 path=ä日\n', { path: 'ä日' }],
  ['a pax path with = and a line end', 'x', '14 path=a=b\nc\n', { path: 'a=b\nc' }],
  ['a pax link', 'x', '14 linkpath=b\n', { linkPath: 'b' }],
  ['a pax size above 8 GiB', 'x', '20 size=10000000001\n', { sizeBytes: 10_000_000_001 }],
  ['several pax records', 'x', '11 mtime=1\n10 path=a\n10 size=7\n', { path: 'a', sizeBytes: 7 }],
  ['a pax record of GNU sparse', 'x', '22 GNU.sparse.major=1\n', { sparse: true }],
  ['the records of a whole archive as nothing', 'g', '10 path=a\n', {}],
] // prettier-ignore

for (const [what, type, content, want] of METAS) {
  t.test(`readMeta: reads ${what}`, async (t) => {
    t.strictSame(readMeta(type, Buffer.from(content)), want)
  })
}

for (const content of ['path=a\n', '0 path=a\n', '-9 path=a\n', 'x path=a\n', '10 path=a\n\0']) {
  t.test(`readMeta: refuses the pax record ${JSON.stringify(content)}`, async (t) => {
    t.throws(() => readMeta('x', Buffer.from(content)), {
      code: 'BAD_TAR',
      message: 'a pax record of a wrong length',
    })
  })
}

for (const content of ['99 path=a\n', '11 path=a\n', '6 path=a\n']) {
  t.test(
    `readMeta: refuses a pax record of a wrong length: ${JSON.stringify(content)}`,
    async (t) => {
      t.throws(() => readMeta('x', Buffer.from(content)), { code: 'BAD_TAR' })
    },
  )
}

for (const key of ['path', 'linkpath']) {
  t.test(`readMeta: refuses a pax ${key} that is too long`, async (t) => {
    const length = `00000 ${key}=\n`.length + MAX_NAME_BYTES
    const record = `${length} ${key}=${'/'.repeat(MAX_NAME_BYTES)}\n`
    t.throws(() => readMeta('x', Buffer.from(record)), { code: 'BAD_TAR', message: 'too long' })
  })
}

t.test('readMeta: other pax records may be longer', async (t) => {
  const value = 'x'.repeat(100_000)
  t.strictSame(readMeta('x', Buffer.from(`100014 xattr=${value}\n`)), {})
})
