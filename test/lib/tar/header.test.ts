import t from 'tap'

import {
  BLOCK_BYTES,
  changeHeader,
  memberHeader,
  readHeader,
  normalizeHeader,
} from '../../../lib/tar/header.ts'
import { sh } from '../../fixtures/run.ts'
import { tar, tarHeader, type TarEntry } from '../../fixtures/tar-builder.ts'

// what, the entry, what is read of it
const HEADERS: [string, TarEntry, object][] = [
  ['a file', { path: 'a', sizeBytes: 513 }, { path: 'a', type: '0', sizeBytes: 513 }],
  ['a contiguous file', { path: 'a', type: 'contiguous', sizeBytes: 1 }, { type: '0', sizeBytes: 1 }],
  ['a directory', { path: 'a/', type: 'directory' }, { path: 'a/', type: '5', sizeBytes: 0 }],
  ['an old directory, as a file', { path: 'a/' }, { path: 'a/', type: '0', sizeBytes: 0 }],
  ['a symbolic link', { path: 'a', type: 'symlink', linkPath: '../b' }, { type: '2', linkPath: '../b' }],
  ['a hard link with a size', { path: 'a', type: 'hardlink', linkPath: 'b', sizeBytes: 9 }, { type: '1', sizeBytes: 0, linkPath: 'b' }],
  ['a fifo', { path: 'a', type: 'fifo', sizeBytes: 9 }, { type: '6', sizeBytes: 0 }],
  ['a device', { path: 'a', type: 'character' }, { type: '3' }],
  ['a name of 100 bytes', { path: 'n'.repeat(100) }, { path: 'n'.repeat(100) }],
  ['a name with a prefix', { path: `${'p'.repeat(155)}/${'n'.repeat(100)}` }, { path: `${'p'.repeat(155)}/${'n'.repeat(100)}` }],
  ['a name in UTF-8', { path: 'ä/日' }, { path: 'ä/日' }],
  ['the largest octal size', { path: 'a', sizeBytes: 8 ** 11 - 1 }, { sizeBytes: 8 ** 11 - 1 }],
  ['a small size in base 256', { path: 'a', sizeBytes: 1, base256: true }, { sizeBytes: 1 }],
  ['a size above 8 GiB in base 256', { path: 'a', sizeBytes: 2 ** 40 + 1, base256: true }, { sizeBytes: 2 ** 40 + 1 }],
] // prettier-ignore

for (const [what, entry, want] of HEADERS) {
  t.test(`readHeader: reads ${what}`, async (t) => {
    t.match(readHeader(tarHeader(entry), 0), want)
  })
}

t.test('readHeader: the block of zeros is none', async (t) => {
  t.equal(readHeader(Buffer.alloc(BLOCK_BYTES), 0), undefined)
})

t.test('readHeader: any changed byte is told with its place', async (t) => {
  const good = tarHeader({ path: 'a', sizeBytes: 5 })
  for (let at = 0; at < BLOCK_BYTES; at++) {
    const block = Buffer.from(good)
    block[at] = (block[at] ?? 0) ^ 0x41
    t.throws(() => readHeader(block, 1024), {
      code: 'BAD_TAR',
      message: 'read tar header at byte 1024: checksum: got ',
    })
  }
})

t.test('readHeader: a block that is all zeros but for its checksum is damaged', async (t) => {
  const block = Buffer.alloc(BLOCK_BYTES)
  block.write('0000400\0', 148)
  t.notOk(readHeader(block, 0) === undefined)
})

// The field's bytes, the number.
const SIZES: [string, number][] = [
  ['00000000017\0', 15],
  ['        17 \0', 15],
  ['17\0\0\0\0\0\0\0\0\0\0', 15],
  ['777777777777', 8 ** 12 - 1],
  ['\0\0\0\0\0\0\0\0\0\0\0\0', 0],
  ['00000000018\0', Number.NaN],
  ['-0000000017\0', Number.NaN],
]

for (const [field, want] of SIZES) {
  t.test(`readHeader: the size ${JSON.stringify(field)} is ${want}`, async (t) => {
    const block = tarHeader({ path: 'a' })
    block.write(field, 124, 'latin1')
    t.strictSame(readHeader(withChecksum(block), 0)?.sizeBytes, want)
  })
}

t.test('readHeader: only a GNU sparse header has a map after it', async (t) => {
  const ustar = tarHeader({ path: 'a' })
  const gnu = tarHeader({ path: 'a', format: 'gnu-long' })
  const extended = [ustar, gnu].map((block) => {
    block.write('S', 156)
    block[482] = 1
    return readHeader(withChecksum(block), 0)?.extended
  })
  t.strictSame(extended, [false, true])
})

const OWNED: TarEntry = { path: 'a', content: 'x', mode: 0o640, type: 'file' }

t.test('setConstants: headers that differ in time and owner become the same', async (t) => {
  const [first, second] = [tarHeader(OWNED), tarHeader(OWNED)]
  for (const at of second.keys()) if (isOfConstants(at)) second[at] = 0xff
  normalizeHeader(first)
  normalizeHeader(second)
  t.ok(second.equals(first))
})

t.test('setConstants: nothing but time, owner and checksum changes', async (t) => {
  const before = tarHeader({ path: 'p/'.repeat(60) + 'n', uid: 5, gid: 6, mtime: 7, sizeBytes: 1 })
  const after = Buffer.from(before)
  normalizeHeader(after)
  const changed = [...after.keys()].filter((at) => after[at] !== before[at])
  t.ok(changed.length > 0)
  t.strictSame(
    changed.filter((at) => !isOfConstants(at)),
    [],
  )
})

function isOfConstants(at: number): boolean {
  return (at >= 108 && at < 124) || (at >= 136 && at < 156) || (at >= 265 && at < 329)
}

t.test('setConstants: GNU tar reads what it leaves', async (t) => {
  const bytes = tar([{ ...OWNED, uid: 5, uname: 'user', mtime: 1e9 }])
  normalizeHeader(bytes.subarray(0, BLOCK_BYTES))
  const listed = await sh('TZ=UTC tar tvf - --numeric-owner', { input: bytes })
  t.equal(listed, '-rw-r----- 0/0               1 1970-01-01 00:00 a')
})

// path, size
const FILES: [string, number][] = [
  ['layer.tar', 0],
  [`${'a'.repeat(64)}/layer.tar`, 1],
  [`blobs/sha256/${'b'.repeat(64)}`, 512],
  ['n'.repeat(100), 513],
  ['octal.tar', 8 ** 11 - 1],
  ['binary.tar', 8 ** 11],
  ['huge.tar', 2 ** 53 - 1],
]

for (const [path, sizeBytes] of FILES) {
  t.test(`memberHeader: ${path.slice(-20)} of ${sizeBytes} bytes is read back`, async (t) => {
    const block = memberHeader(path, sizeBytes)
    t.match(readHeader(block, 0), { path, sizeBytes, type: '0', linkPath: '', extended: false })
    const fixed = Buffer.from(block)
    normalizeHeader(fixed)
    t.ok(fixed.equals(block), 'its times and owner are the constants')
    if (sizeBytes > 1000) return
    const content = Buffer.alloc(sizeBytes + (-sizeBytes & (BLOCK_BYTES - 1)))
    const input = Buffer.concat([block, content, Buffer.alloc(2 * BLOCK_BYTES)])
    const listed = await sh('TZ=UTC tar tv --numeric-owner', { input })
    t.equal(listed.replaceAll(/ +/g, ' '), `-rw-r--r-- 0/0 ${sizeBytes} 1970-01-01 00:00 ${path}`)
  })
}

t.test('memberHeader: GNU tar reads a size above 8 GiB', async (t) => {
  const input = memberHeader('huge.tar', 8 ** 11 + 5)
  t.match(
    await sh('tar tv --occurrence=1 huge.tar 2>/dev/null || true', { input }),
    ` ${8 ** 11 + 5} `,
  )
})

/** Makes the checksum right again. */
function withChecksum(block: Buffer): Buffer {
  block.fill(' ', 148, 156)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return block
}

t.test('changeHeader: changes path and size only', async (t) => {
  const sizes = [0, 1, 8 ** 11 - 1, 8 ** 11, 2 ** 40]
  for (const sizeBytes of sizes) {
    for (const base256 of [false, true]) {
      const more = { mode: 0o444, mtime: 5, uid: 7, base256 }
      const block = tarHeader({
        path: `${'p'.repeat(99)}/${'n'.repeat(100)}`,
        sizeBytes: 5,
        ...more,
      })
      const want = tarHeader({ path: 'blobs/b', sizeBytes, ...more, base256: sizeBytes >= 8 ** 11 })
      t.ok(changeHeader(block, 'blobs/b', sizeBytes).equals(want), `${sizeBytes}`)
    }
  }
})
