import { open } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import type { TarMember } from '../../../lib/tar/parser.ts'
import { TarTransform, type Treatment } from '../../../lib/tar/transform.ts'
import { sh } from '../../fixtures/run.ts'
import { chunked, padding, tar, tarHeader, type TarEntry } from '../../fixtures/tar-builder.ts'

interface Scan {
  readonly members: (TarMember & { content: Buffer })[]
  readonly out: Buffer
  readonly sizeBytes: number
  readonly endBytes: number
}

function scan(bytes: Buffer, chunkBytes = bytes.length): Scan {
  const members: Scan['members'] = []
  let content: Buffer[] = []
  let member: TarMember | undefined
  const scanner = new TarTransform(
    {
      member: (found) => (member = found),
      content: (part) => content.push(Buffer.from(part)),
      memberEnd() {
        if (member) members.push({ ...member, content: Buffer.concat(content) })
        member = undefined
        content = []
      },
    },
    { normalize: false },
  )
  const out = [...chunked(Buffer.from(bytes), chunkBytes)].flatMap((chunk) =>
    scanner.write(chunk).map((piece) => piece.bytes),
  )
  return { members, out: Buffer.concat(out), ...scanner.end() }
}

const SIZES = [0, 1, 511, 512, 513, 1024, 5000]
const LONG = `${'directory/'.repeat(20)}file`

const MIXED = tar([
  ...SIZES.map((size) => ({ path: `${size}`, content: Buffer.alloc(size, `${size}`) })),
  { path: LONG, format: 'pax', content: 'pax' },
  { path: `${LONG}2`, linkPath: LONG, type: 'symlink', format: 'gnu-long' },
  { path: 'directory', type: 'directory' },
  { path: 'hard', linkPath: '513', type: 'hardlink', sizeBytes: 513 },
  { path: 'last', content: 'last' },
] satisfies TarEntry[])

for (const chunkBytes of [1, 511, 512, 513, 1024, MIXED.length]) {
  t.test(`scan: chunks of ${chunkBytes} bytes`, async (t) => {
    const { members, out, sizeBytes, endBytes } = scan(MIXED, chunkBytes)
    t.ok(out.equals(MIXED), 'handed on as it is')
    t.strictSame([sizeBytes, endBytes], [MIXED.length, MIXED.length])
    t.strictSame(
      members.map(({ path, type, linkPath }) => [path, type, linkPath]),
      [
        ...SIZES.map((size) => [`${size}`, '0', '']),
        [LONG, '0', ''],
        [`${LONG}2`, '2', LONG],
        ['directory/', '5', ''],
        ['hard', '1', '513'],
        ['last', '0', ''],
      ],
    )
    for (const { offsetBytes, sizeBytes: size, content } of members) {
      t.ok(content.equals(MIXED.subarray(offsetBytes, offsetBytes + size)))
    }
    t.strictSame(
      members.map(({ content }) => content.length),
      [...SIZES, 3, 0, 0, 0, 4],
    )
  })
}

t.test('write: what is handed on lags by less than a block', async (t) => {
  const scanner = new TarTransform(
    { member: () => {}, content: () => {}, memberEnd: () => {} },
    { normalize: false },
  )
  let lag = 0
  let most = 0
  for (const chunk of chunked(Buffer.from(MIXED), 100)) {
    const [piece] = scanner.write(chunk)
    lag += chunk.length - (piece?.bytes.length ?? 0)
    most = Math.max(most, lag)
  }
  t.equal(lag, 0)
  t.ok(most > 0 && most < 512, `${most} bytes`)
})

t.test('write: a chunk may be used again once its bytes were handed on', async (t) => {
  const paths: string[] = []
  const scanner = new TarTransform(
    { member: ({ path }) => paths.push(path), content: () => {}, memberEnd: () => {} },
    { normalize: false },
  )
  const reused = Buffer.alloc(100)
  for (const chunk of chunked(MIXED, reused.length)) {
    chunk.copy(reused)
    scanner.write(reused.subarray(0, chunk.length))
    reused.fill('x')
  }
  t.strictSame(paths, [...SIZES.map(String), LONG, `${LONG}2`, 'directory/', 'hard', 'last'])
})

// A lone block of zeros at the end is an end too: GNU tar takes it as such.
t.test('end: a tar cut anywhere before its end is truncated, and says where', async (t) => {
  const bytes = tar([
    { path: LONG, format: 'pax', content: 'x' },
    { path: 'b', content: Buffer.alloc(513) },
  ])
  const whole: number[] = []
  for (let size = 0; size <= bytes.length; size++) {
    try {
      scan(bytes.subarray(0, size), 4096)
      whole.push(size)
    } catch (error) {
      t.match(error, { code: 'TRUNCATED_TAR', message: `stops at byte ${size}, before` })
    }
  }
  t.strictSame(whole, [bytes.length - 512, bytes.length])
})

for (const trailing of [1, 511, 512, 513, 10_240]) {
  t.test(`end: ${trailing} bytes after the end belong to the size only`, async (t) => {
    const bytes = Buffer.concat([MIXED, Buffer.alloc(trailing, 'x')])
    for (const chunkBytes of [100, bytes.length]) {
      const { out, sizeBytes, endBytes } = scan(bytes, chunkBytes)
      t.ok(out.equals(bytes))
      t.strictSame([sizeBytes, endBytes], [bytes.length, MIXED.length])
    }
  })
}

t.test('write: a member after a lone block of zeros is refused', async (t) => {
  const member = tar([{ path: 'a' }], { end: false })
  const bytes = Buffer.concat([member, Buffer.alloc(512), member])
  t.throws(() => scan(bytes), {
    code: 'BAD_TAR',
    message: 'read tar at byte 1024: data after its end',
  })
})

t.test('write: a damaged header is told with its place, in any chunks', async (t) => {
  const bytes = tar([{ path: 'a', content: 'x' }, { path: 'b' }])
  bytes.write('c', 1024)
  for (const chunkBytes of [1, 700, bytes.length]) {
    t.throws(() => scan(bytes, chunkBytes), {
      code: 'BAD_TAR',
      message: 'read tar header at byte 1024: checksum: got ',
    })
  }
})

// what, a pax record or a base 256 field
const BAD_SIZES: [string, Buffer][] = [
  ['no number', Buffer.from('10 size=x\n')],
  ['negative', Buffer.from('11 size=-1\n')],
  ['a fraction', Buffer.from('12 size=1.5\n')],
  ['beyond whole numbers', Buffer.from('25 size=9007199254740993\n')],
]

for (const [what, record] of BAD_SIZES) {
  t.test(`write: a size that is ${what} is refused`, async (t) => {
    const bytes = Buffer.concat([metaMember('x', record), tar([{ path: 'a' }])])
    t.throws(() => scan(bytes), { code: 'BAD_TAR', message: 'a size that is not a number' })
  })
}

for (const type of ['L', 'K']) {
  t.test(`write: a name above 64 KiB is refused before it is read: ${type}`, async (t) => {
    const header = retyped(tarHeader({ path: 'x', sizeBytes: 64 * 1024 + 1 }), type)
    t.throws(() => scan(header), { code: 'BAD_TAR', message: 'a name too long' })
  })
}

t.test('write: what stands before a member is refused above 2 MiB', async (t) => {
  const large = retyped(tarHeader({ path: 'x', sizeBytes: 2 * 1024 * 1024 }), 'x')
  t.throws(() => scan(large), { code: 'BAD_TAR', message: 'too much about one member' })
  const name = metaMember('L', Buffer.alloc(60_000, 'a'))
  const names = Buffer.concat(Array.from({ length: 40 }, () => name))
  t.throws(() => scan(names), { code: 'BAD_TAR', message: 'too much about one member' })
  const each = Buffer.concat([name, tar([{ path: 'a' }], { end: false })])
  const members = Buffer.concat([...Array.from({ length: 40 }, () => each), tar([])])
  t.equal(scan(members).members.length, 40)
})

t.test('write: a name of an empty member before it is no name', async (t) => {
  const bytes = Buffer.concat([metaMember('g', Buffer.alloc(0)), tar([{ path: 'a' }])])
  t.strictSame(
    scan(bytes).members.map(({ path }) => path),
    ['a'],
  )
})

t.test('write: an own size stands over that of the header, for one member only', async (t) => {
  const bytes = Buffer.concat([
    metaMember('x', Buffer.from('12 size=513\n')),
    tar([{ path: 'a' }], { end: false }),
    Buffer.alloc(1024),
    tar([{ path: 'b', content: 'b' }]),
  ])
  t.strictSame(
    scan(bytes).members.map(({ path, sizeBytes }) => [path, sizeBytes]),
    [
      ['a', 513],
      ['b', 1],
    ],
  )
})

// What becomes of a member stands in its name; every kind of header before it.
const KINDS: Treatment[] = ['inline', 'own segment', 'skipped', 'external']
const FORMATS: Partial<TarEntry>[] = [
  {},
  { format: 'pax', mtime: 1.5 },
  { format: 'gnu-long' },
  { format: 'pax' },
  { base256: true },
]
const TREATED = FORMATS.flatMap((format, n) =>
  [0, 1, 511, 512, 513, 1500].flatMap((size) =>
    KINDS.map((kind): TarEntry => {
      const long = format.format === undefined ? '' : LONG
      return { path: `${kind}/${n}-${size}${long}`, content: Buffer.alloc(size, `${n}`), ...format }
    }),
  ),
)

function kindOf({ path }: { readonly path: string }): Treatment {
  return KINDS.find((kind) => path.startsWith(`${kind}/`)) ?? 'inline'
}

/** What is read: members that are absent lack their content. */
const PARTIAL = Buffer.concat([
  ...TREATED.map((entry) => {
    const content = Buffer.from(entry.content ?? '')
    if (kindOf(entry) !== 'external') return tar([entry], { end: false })
    return Buffer.concat([
      tarHeader({ sizeBytes: content.length, ...entry }),
      padding(content.length),
    ])
  }),
  tar([]),
])
const ALL = tar(TREATED)
const LEFT = tar(TREATED.filter((entry) => ['inline', 'own segment'].includes(kindOf(entry))))

for (const chunkBytes of [1, 7, 511, 512, 513, 1024, 4096, PARTIAL.length]) {
  t.test(`treat: what is handed on of members, chunks of ${chunkBytes} bytes`, async (t) => {
    const seen: TarMember[] = []
    const apart = new Map<string, Buffer[]>()
    const contents = new Map<string, Buffer[]>()
    const visitor = {
      member: (member: TarMember) => seen.push(member),
      content: (bytes: Buffer) => collect(contents, seen.at(-1)?.path, bytes),
      memberEnd: () => {},
    }
    const scanner = new TarTransform(visitor, { normalize: false, treat: kindOf })
    const pieces = [...chunked(Buffer.from(PARTIAL), chunkBytes)].flatMap((chunk) =>
      scanner.write(chunk).map(({ bytes, member }) => ({ bytes: Buffer.from(bytes), member })),
    )
    t.ok(Buffer.concat(pieces.map(({ bytes }) => bytes)).equals(LEFT), 'all but what is left out')
    for (const { bytes, member } of pieces) if (member) collect(apart, member.path, bytes)
    t.ok(
      pieces.every(({ bytes }) => bytes.length > 0),
      'no piece is empty',
    )
    for (const entry of TREATED) {
      const content = Buffer.from(entry.content ?? '')
      const kind = kindOf(entry)
      const isApart = kind === 'own segment' && content.length > 0
      t.strictSame(
        joined(apart, entry.path),
        isApart ? content : undefined,
        entry.path.slice(0, 20),
      )
      const isSeen = kind !== 'external' && content.length > 0
      t.strictSame(joined(contents, entry.path), isSeen ? content : undefined)
    }
    t.strictSame(
      seen.map(({ path }) => path),
      TREATED.map(({ path }) => path),
    )
    for (const { path, offsetBytes, sizeBytes } of seen) {
      const entry = TREATED.find((each) => each.path === path)
      const content = ALL.subarray(offsetBytes, offsetBytes + sizeBytes)
      t.ok(content.equals(Buffer.from(entry?.content ?? '')), 'its place in the whole tar')
    }
    t.strictSame(scanner.end(), { sizeBytes: ALL.length, endBytes: ALL.length })
  })
}

t.test('treat: GNU tar reads what is handed on', async (t) => {
  const listed = await sh('tar t', { input: LEFT })
  t.equal(
    listed,
    TREATED.filter((each) => /^(inline|own segment)/.test(each.path))
      .map(({ path }) => path)
      .join('\n'),
  )
})

t.test('treat: what belongs to no member is handed on', async (t) => {
  const global = metaMember('g', Buffer.from('13 comment=x\n'))
  const end = Buffer.concat([tar([]), Buffer.alloc(700, 'x')])
  const bytes = Buffer.concat([global, tar([{ path: 'a', content: 'x' }], { end: false }), end])
  for (const chunkBytes of [1, 513, bytes.length]) {
    const scanner = new TarTransform(
      { member: () => {}, content: () => {}, memberEnd: () => {} },
      { normalize: false, treat: () => 'skipped' },
    )
    const out = [...chunked(Buffer.from(bytes), chunkBytes)].flatMap((chunk) =>
      scanner.write(chunk).map((piece) => Buffer.from(piece.bytes)),
    )
    t.ok(Buffer.concat(out).equals(Buffer.concat([global, end])))
  }
})

t.test('treat: sparse members of GNU tar, left out with their maps', async (t) => {
  const dir = t.testdir({ after: 'after' })
  const file = await open(join(dir, 'holes'), 'w')
  for (let n = 0; n < 60; n++) await file.write('data', n * 65_536)
  await file.close()
  for (const [what, options] of SPARSE) {
    const path = join(dir, 'sparse.tar')
    await sh(`tar -cSf ${path} --hole-detection=raw ${options} holes after`, { cwd: dir })
    const bytes = await readWhole(path)
    const scanner = new TarTransform(
      { member: () => {}, content: () => {}, memberEnd: () => {} },
      { normalize: false, treat: ({ sparse }) => (sparse ? 'skipped' : 'inline') },
    )
    const out = [...chunked(bytes, 700)].flatMap((chunk) =>
      scanner.write(chunk).map((piece) => Buffer.from(piece.bytes)),
    )
    t.equal(await sh('tar t', { input: Buffer.concat(out) }), 'after', what)
  }
})

const HUGE_BYTES = 8 * 1024 ** 3 + 1
const ZEROS = Buffer.alloc(64 * 1024 * 1024)

for (const entry of [{ base256: true }, { format: 'pax' }] as const) {
  t.test(`write: a member above 8 GiB, ${JSON.stringify(entry)}`, async (t) => {
    const seen: [string, number][] = []
    let contentBytes = 0
    const scanner = new TarTransform(
      {
        member: ({ path, sizeBytes }) => seen.push([path, sizeBytes]),
        content: (bytes) => (contentBytes += bytes.length),
        memberEnd: () => {},
      },
      { normalize: false },
    )
    const header = tarHeader({ path: 'huge', sizeBytes: HUGE_BYTES, ...entry })
    scanner.write(header)
    for (let left = HUGE_BYTES; left > 0; left -= ZEROS.length) {
      scanner.write(ZEROS.subarray(0, left))
    }
    scanner.write(padding(HUGE_BYTES))
    scanner.write(tar([{ path: 'after', content: 'x' }]))
    t.strictSame(seen, [
      ['huge', HUGE_BYTES],
      ['after', 1],
    ])
    t.equal(contentBytes, HUGE_BYTES + 1)
    t.equal(scanner.end().endBytes, header.length + HUGE_BYTES + 511 + 4 * 512)
  })
}

// Format, options of GNU tar; the map of the old one takes more than a header
// and a block, that of 1.0 stands in the content.
const SPARSE: [string, string][] = [
  ['old GNU, extended map', '--format=gnu'],
  ['pax 0.1', '--format=pax --sparse-version=0.1'],
  ['pax 1.0', '--format=pax --sparse-version=1.0'],
]

t.test('write: sparse members of GNU tar', async (t) => {
  const dir = t.testdir({ after: 'after' })
  const file = await open(join(dir, 'holes'), 'w')
  for (let n = 0; n < 60; n++) await file.write('data', n * 65_536)
  await file.close()
  for (const [what, options] of SPARSE) {
    const path = join(dir, 'sparse.tar')
    await sh(`tar -cSf ${path} --hole-detection=raw ${options} holes after`, { cwd: dir })
    const bytes = await readWhole(path)
    for (const chunkBytes of [1, 513, bytes.length]) {
      const { members, out } = scan(bytes, chunkBytes)
      t.match(members, [{ sparse: true }, { path: 'after', sparse: false }], what)
      t.equal(members[1]?.content.toString(), 'after')
      t.ok(members[0] && members[0].sizeBytes < 60 * 65_536, 'the size in the tar')
      t.ok(out.equals(bytes))
    }
  }
})

async function readWhole(path: string): Promise<Buffer> {
  const file = await open(path)
  try {
    return await file.readFile()
  } finally {
    await file.close()
  }
}

function collect(into: Map<string, Buffer[]>, path: string | undefined, bytes: Buffer): void {
  into.set(path ?? '', [...(into.get(path ?? '') ?? []), Buffer.from(bytes)])
}

function joined(parts: ReadonlyMap<string, Buffer[]>, path: string): Buffer | undefined {
  const found = parts.get(path)
  return found && Buffer.concat(found)
}

/** A member that speaks of the next one. */
function metaMember(type: string, content: Buffer): Buffer {
  const header = retyped(tarHeader({ path: 'meta', sizeBytes: content.length }), type)
  return Buffer.concat([header, content, padding(content.length)])
}

/** Another type flag, and the checksum made right for it. */
function retyped(header: Buffer, type: string): Buffer {
  const before = Number.parseInt(header.toString('latin1', 148, 154), 8)
  const sum = before - (header[156] ?? 0) + type.charCodeAt(0)
  header.write(type, 156)
  header.write(sum.toString(8).padStart(6, '0'), 148)
  return header
}

t.test('treat: a global header after a member apart is not its content', async (t) => {
  const global = tarHeader({ path: 'pax_global_header', sizeBytes: 13 })
  global.write('g', 156)
  const sum = global.fill(' ', 148, 156).reduce((total, byte) => total + byte, 0)
  global.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  const content = Buffer.alloc(1024, 'a')
  const bytes = Buffer.concat([
    tarHeader({ path: 'own segment', sizeBytes: content.length }),
    content,
    global,
    Buffer.from('13 comment=x\n'),
    padding(13),
    tar([{ path: 'last', content: 'x' }]),
  ])
  const scanner = new TarTransform(
    { member: () => {}, content: () => {}, memberEnd: () => {} },
    { normalize: false, treat: ({ path }) => (path === 'own segment' ? 'own segment' : 'inline') },
  )
  const pieces = scanner.write(Buffer.from(bytes))
  scanner.end()
  t.ok(Buffer.concat(pieces.map((piece) => piece.bytes)).equals(bytes))
  const apart = pieces.filter(({ member }) => member).map((piece) => piece.bytes)
  t.ok(Buffer.concat(apart).equals(content))
})

// As tars were made before there was a type for directories.
t.test('member: a file whose name ends as that of a directory is one', async (t) => {
  const { members } = scan(tar([{ path: 'old/' }, { path: 'old' }]), 512)
  t.match(members, [
    { path: 'old/', type: '5' },
    { path: 'old', type: '0' },
  ])
})
