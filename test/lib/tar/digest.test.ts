import { createHash } from 'node:crypto'
import { mkdir, readFile, symlink, link, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { TarDigester, memberKey, type DigestedMember } from '../../../lib/tar/digest.ts'
import { hexOf, sha256 } from '../../fixtures/digest.ts'
import { digest } from '../../fixtures/digested-tar.ts'
import { sh } from '../../fixtures/run.ts'
import { chunked, tar, tarHeader, type TarEntry } from '../../fixtures/tar-builder.ts'

/** What `tar xO` of GNU tar gives of a tar, as md5. */
async function md5OfTar(bytes: Buffer): Promise<string> {
  return (await sh('tar xO | md5sum', { input: bytes })).slice(0, 32)
}

/** Everything that GNU tar stores in a way of its own. */
async function makeTree(dir: string): Promise<void> {
  const deep = join(dir, 'd'.repeat(60), 'e'.repeat(60))
  await mkdir(deep, { recursive: true })
  await writeFile(join(dir, 'empty'), '')
  for (const size of [1, 511, 512, 513, 20_000]) {
    await writeFile(join(dir, `file${size}`), Buffer.alloc(size, `${size}`))
  }
  await writeFile(join(deep, 'f'.repeat(90)), 'long name')
  await symlink('file1', join(dir, 'soft'))
  await link(join(dir, 'file513'), join(dir, 'hard'))
}

for (const format of ['v7', 'ustar', 'gnu', 'pax']) {
  t.test(`contentMd5: is that of tar xO, for the ${format} format`, async (t) => {
    const dir = t.testdir()
    await makeTree(dir)
    const exclude = format === 'v7' ? '--exclude=d*' : ''
    await sh(`tar -cf ../${format}.tar --format=${format} ${exclude} .`, { cwd: dir })
    const bytes = await readFile(join(dir, '..', `${format}.tar`))
    const want = await md5OfTar(bytes)
    for (const chunkBytes of [1, 512, 65_536]) {
      t.equal(digest(bytes, { chunkBytes }).tar.contentMd5, want)
    }
    t.equal(digest(bytes, { normalize: true }).tar.contentMd5, want)
  })
}

t.test('contentMd5: absent where it is not wanted, or where a member is sparse', async (t) => {
  const dir = t.testdir()
  t.equal(digest(tar([]), { md5: false }).tar.contentMd5, undefined)
  t.equal(digest(tar([])).tar.contentMd5, createHash('md5').digest('hex'))
  await sh('truncate -s 1M holes && tar -cSf holes.tar holes', { cwd: dir })
  t.equal(digest(await readFile(join(dir, 'holes.tar'))).tar.contentMd5, undefined)
})

t.test('members: sha256 of each, the last of a path, without ./ and /', async (t) => {
  const { members } = digest(
    tar([
      { path: './dir', type: 'directory' },
      { path: './dir/a', content: 'first' },
      { path: 'dir/a', content: 'second' },
      { path: 'b' },
    ]),
  ).tar
  t.strictSame([...(members?.keys() ?? [])], ['dir', 'dir/a', 'b'])
  t.equal(members?.get('dir/a')?.sha256, hexOf(sha256('second')))
  t.equal(members?.get('b')?.sha256, hexOf(sha256('')))
})

const KEYS: [string, string][] = [
  ['a', 'a'],
  ['./a', 'a'],
  ['././a/b//', 'a/b'],
  ['./', ''],
  ['.a/', '.a'],
  ['../a', 'a'],
  ['/a', 'a'],
  ['.//a', 'a'],
  ['b/../a', 'a'],
  ['b/c/./../../a/.', 'a'],
  ['a//b', 'a/b'],
  ['..a/b../...', '..a/b../...'],
  ['..', ''],
]

for (const [path, want] of KEYS) {
  t.test(`memberKey: of ${path}`, async (t) => {
    t.equal(memberKey(path), want)
  })
}

// what, members at `a` by other names, whether that is told
const MEETING: [string, TarEntry[], boolean][] = [
  ['alone', [{ path: 'a', content: '1' }], false],
  ['twice, alike', [{ path: 'a' }, { path: './x/../a' }], false],
  ['another time', [{ path: 'a' }, { path: 'a', mtime: 1, mode: 0o400 }], false],
  [
    'other content',
    [
      { path: 'a', content: '1' },
      { path: '/a', content: '2' },
    ],
    true,
  ],
  ['another kind', [{ path: 'a' }, { path: 'a/', type: 'directory' }], true],
  ['another between', [{ path: 'a' }, { path: 'a', content: '1' }, { path: 'a' }], true],
  ['another link', ['b', 'c'].map((linkPath) => ({ path: 'a', type: 'symlink', linkPath })), true],
]

for (const [what, entries, isTold] of MEETING) {
  t.test(`contested: a path where a member stands: ${what}`, async (t) => {
    const { contested, links } = digest(tar([...entries, { path: 'b' }])).tar
    t.strictSame([...(contested ?? ['none'])], isTold ? ['a'] : [])
    t.strictSame([...(links ?? ['none'])], entries[0]?.type === 'symlink' ? ['a'] : [])
  })
}

t.test('members: of too long names are not kept', async (t) => {
  const name = 'b'.repeat(64 * 1024 - 1)
  const long = tar([{ path: name, format: 'gnu-long' }], { end: false })
  const members = Array.from({ length: 1025 }, () => long)
  const { tar: read } = digest(Buffer.concat([...members, tar([])]), { md5: false })
  t.match(read, { members: undefined, contested: undefined, links: undefined })
})

t.test('memberKey: takes no time for many slashes', async (t) => {
  const start = performance.now()
  t.equal(memberKey(`${'/'.repeat(1_000_000)}a`), 'a')
  t.equal(memberKey('./'.repeat(1_000_000)), '')
  t.ok(performance.now() - start < 20_000, 'it ends')
})

const LARGEST = 8 * 1024 * 1024

/** JSON of just so many bytes. */
function json(bytes: number): string {
  return `[${' '.repeat(bytes - 2)}]`
}

// what, content, whether it is kept
const CONTENTS: [string, string, boolean][] = [
  ['an object', '{"a":1}', true],
  ['a list', '[]', true],
  ['anything that starts so', '{', true],
  ['nothing', '', false],
  ['text', ' {}', false],
  ['8 MiB', json(LARGEST), true],
  ['more than 8 MiB', json(LARGEST + 1), false],
]

for (const [what, content, isKept] of CONTENTS) {
  t.test(`json: ${isKept ? 'keeps' : 'does not keep'} ${what}`, async (t) => {
    for (const chunkBytes of content.length > 100 ? [65_535] : [1, 512]) {
      const member = digest(tar([{ path: 'a', content }]), { chunkBytes }).tar.members?.get('a')
      t.equal(member?.json?.toString(), isKept ? content : undefined)
    }
  })
}

t.test('json: keeps no more than 32 MiB in all', async (t) => {
  const names = ['a', 'b', 'c', 'd', 'e']
  const bytes = tar([
    ...names.map((path) => ({ path, content: json(7 * 1024 * 1024) })),
    { path: 'small', content: '{}' },
  ])
  const { members } = digest(bytes, { chunkBytes: 1024 * 1024 }).tar
  t.strictSame(
    [...names, 'small'].map((name) => members?.get(name)?.json !== undefined),
    [true, true, true, true, false, true],
  )
})

for (const count of [100_000, 100_001]) {
  t.test(`members: ${count} of them are ${count > 100_000 ? 'too many' : 'kept'}`, async (t) => {
    const digester = new TarDigester({ normalize: false, md5: true })
    const header = tarHeader({ path: 'same' })
    for (let n = 0; n < count; n++) digester.write(Buffer.from(header))
    digester.write(tar([]))
    t.equal(digester.end().members?.size, count > 100_000 ? undefined : 1)
  })
}

const CONTENT: TarEntry[] = [
  { path: 'dir', type: 'directory' },
  { path: 'a', content: 'x'.repeat(600) },
  { path: 'n'.repeat(200), content: 'y', format: 'pax' },
  { path: 'm'.repeat(200), linkPath: 'l'.repeat(200), type: 'symlink', format: 'gnu-long' },
]
const SAVED_TWICE = [
  { mtime: 1, uid: 0, uname: 'root' },
  { mtime: 1_700_000_000, uid: 1000, gid: 1000, uname: 'someone', gname: 'staff' },
].map((owner) => tar(CONTENT.map((entry) => ({ ...entry, ...owner }))))

for (const chunkBytes of [1, 511, 512, 513, 100_000]) {
  t.test(`normalize: two saves become the same, in chunks of ${chunkBytes} bytes`, async (t) => {
    const [first = Buffer.alloc(0), second] = SAVED_TWICE.map(
      (bytes) => digest(bytes, { normalize: true, chunkBytes }).out,
    )
    t.ok(second?.equals(first))
    const listed = await sh('TZ=UTC tar tvf - --numeric-owner', { input: first })
    t.strictSame(
      listed.split('\n').map((line) => line.replaceAll(/ +/g, ' ').slice(0, 45)),
      [
        'drwxr-xr-x 0/0 0 1970-01-01 00:00 dir/',
        '-rw-r--r-- 0/0 600 1970-01-01 00:00 a',
        `-rw-r--r-- 0/0 1 1970-01-01 00:00 ${'n'.repeat(11)}`,
        `lrw-r--r-- 0/0 0 1970-01-01 00:00 ${'m'.repeat(11)}`,
      ],
    )
  })
}

t.test('normalize: not unless it was asked for', async (t) => {
  for (const bytes of SAVED_TWICE) t.ok(digest(bytes, { normalize: false }).out.equals(bytes))
})

// what differs, the tar, whether its content is that of one with `a` and `b` still
const A: TarEntry = { path: 'a', content: 'a' }
const B: TarEntry = { path: 'b', content: 'b' }
const SAME_OR_NOT: [string, TarEntry[], boolean][] = [
  ['nothing', [A, B], true],
  ['their names and what is empty', [{ path: 'd/' }, { ...A, path: 'c' }, { path: 'e' }, B], true],
  ['their order', [B, A], false],
  ['a byte', [A, { ...B, content: 'c' }], false],
  ['that one is missing', [A], false],
]

for (const [what, entries, isSame] of SAME_OR_NOT) {
  t.test(`membersSha256: ${what} differs: ${isSame ? 'the same' : 'another'}`, async (t) => {
    const got = digest(tar(entries), { md5: false }).tar.membersSha256
    t.equal(got === digest(tar([A, B])).tar.membersSha256, isSame)
  })
}

const MEMBERS: TarEntry[] = [
  { path: 'first', content: 'first' },
  { path: `out/${'n'.repeat(200)}`, content: '[1]', format: 'pax' },
  { path: 'own segment', content: 'x'.repeat(700) },
  { path: 'last', content: 'last' },
]

for (const kind of ['skipped', 'own segment', 'inline'] as const) {
  t.test(`treat: of a member that is ${kind}, all is told`, async (t) => {
    const told: DigestedMember[] = []
    const digester = new TarDigester({
      normalize: false,
      md5: true,
      treat: ({ path }) => (path.startsWith('out/') ? kind : 'inline'),
      onMember: (member) => told.push(member),
    })
    const out = digester.write(tar(MEMBERS)).map(({ bytes }) => Buffer.from(bytes))
    const { contentMd5, members, membersSha256, sizeBytes } = digester.end()
    const left = tar(MEMBERS.filter(({ path }) => kind !== 'skipped' || !path.startsWith('out/')))
    t.ok(Buffer.concat(out).equals(left))
    t.equal(contentMd5, await md5OfTar(left), 'the md5 of what is handed on')
    t.equal(membersSha256, digest(left).tar.membersSha256)
    t.equal(sizeBytes, tar(MEMBERS).length)
    t.strictSame(told, [...(members?.values() ?? [])])
    t.strictSame(
      told.map(({ sha256: hex }) => hex),
      MEMBERS.map(({ content = '' }) => hexOf(sha256(content))),
    )
    t.equal(told[1]?.json?.toString(), '[1]')
  })
}

t.test('absent: the digest of a member whose content is not read is taken as said', async (t) => {
  const known = hexOf(sha256('known'))
  const offsetBytes = 512 + 512 + 512
  const [first = { path: '' }, , ...others] = MEMBERS
  const bytes = Buffer.concat([
    tar([first], { end: false }),
    tarHeader({ path: 'layer', sizeBytes: 1000 }),
    Buffer.alloc(24),
    tar(others),
  ])
  for (const chunkBytes of [1, 512, bytes.length]) {
    const absent = new Map([[offsetBytes, known]])
    const digester = new TarDigester({ normalize: false, md5: false, absent })
    const out = [...chunked(bytes, chunkBytes)].flatMap((chunk) =>
      digester.write(chunk).map((piece) => Buffer.from(piece.bytes)),
    )
    t.ok(Buffer.concat(out).equals(tar([first, ...others])))
    const { members, sizeBytes } = digester.end()
    t.match(members?.get('layer'), { sha256: known, sizeBytes: 1000, offsetBytes })
    t.equal(members?.get('last')?.sha256, hexOf(sha256('last')))
    t.equal(sizeBytes, bytes.length + 1000)
  }
})

t.test('end: a tar that stops short is told', async (t) => {
  const [bytes = Buffer.alloc(0)] = SAVED_TWICE
  t.throws(() => digest(bytes.subarray(0, -1024)), { code: 'TRUNCATED_TAR' })
})

t.test('members: JSON too large to be of an image is not kept', async (t) => {
  const content = Buffer.alloc(8 * 1024 * 1024 + 1, ' ')
  content.write('{')
  const { tar: digested } = digest(
    tar([
      { path: 'large', content },
      { path: 'small', content: '{}' },
    ]),
  )
  t.notOk(digested.members?.get('large')?.json)
  t.equal(digested.members?.get('large')?.sha256, hexOf(sha256(content)))
  t.equal(digested.members?.get('small')?.json?.toString(), '{}')
})
