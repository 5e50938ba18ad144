import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import t from 'tap'

import { readHeader } from '../../../lib/tar/header.ts'
import { splitTar } from '../../../lib/tar/splitter.ts'
import { chunked, padding, tar, tarHeader, type TarEntry } from '../../fixtures/tar-builder.ts'

const SIZES = [0, 1, 511, 512, 513, 5000]
const LONG = `${'directory/'.repeat(20)}file`
const ENTRIES: TarEntry[] = [
  { path: 'directory', type: 'directory' },
  ...SIZES.map((size) => ({ path: `${size}`, content: Buffer.alloc(size, `${size}`) })),
  { path: LONG, content: 'long', format: 'pax' },
  { path: 'hard', type: 'hardlink', linkPath: '513', sizeBytes: 513 },
  { path: 'last', content: 'last' },
]
const TAR = Buffer.concat([tar(ENTRIES), Buffer.from('what may follow')])

const stream = (bytes: Buffer, chunkBytes: number) =>
  Readable.from(chunked(Buffer.from(bytes), chunkBytes))

async function split(bytes: Buffer, chunkBytes: number, wanted: readonly string[]) {
  const between: Buffer[] = []
  const members: { path: string; header: Buffer; content: Buffer }[] = []
  const isWanted = ({ path }: { path: string }) => wanted.includes(path)
  for await (const part of splitTar(stream(bytes, chunkBytes), isWanted)) {
    if (!('member' in part)) between.push(Buffer.from(part))
    else {
      const content = await buffer(Readable.from(part.content))
      members.push({ path: part.member.path, header: part.header, content })
    }
  }
  return { between: Buffer.concat(between), members }
}

for (const chunkBytes of [1, 511, 512, 513, 5000, TAR.length]) {
  t.test(`splitTar: chunks of ${chunkBytes} bytes`, async (t) => {
    const none = await split(TAR, chunkBytes, [])
    t.ok(none.between.equals(TAR), 'as it is, where nothing is wanted')
    const wanted = ['1', '512', '513', LONG, 'last']
    const { between, members } = await split(TAR, chunkBytes, wanted)
    const others = ENTRIES.filter(({ path }) => !wanted.includes(path))
    t.ok(between.equals(Buffer.concat([tar(others), Buffer.from('what may follow')])))
    t.strictSame(
      members.map(({ path }) => path),
      wanted,
    )
    for (const { path, header, content } of members) {
      const entry = ENTRIES.find((each) => each.path === path)
      t.ok(content.equals(Buffer.from(entry?.content ?? '')), path.slice(-4))
      t.equal(readHeader(header, 0)?.sizeBytes, content.length)
    }
  })
}

t.test('splitTar: content that nobody reads is passed over', async (t) => {
  const between: Buffer[] = []
  for await (const part of splitTar(stream(TAR, 100), ({ path }) => path === '5000')) {
    if (!('member' in part)) between.push(Buffer.from(part))
    else for await (const _ of part.content) break
  }
  const others = ENTRIES.filter(({ path }) => path !== '5000')
  t.ok(Buffer.concat(between).subarray(0, -15).equals(tar(others)))
})

t.test('splitTar: a tar that stops in a wanted member is told', async (t) => {
  const start = Buffer.concat([tarHeader({ path: 'a', sizeBytes: 600 }), Buffer.alloc(600)])
  for (const bytes of [start.subarray(0, 700), start, Buffer.concat([start, padding(600)])]) {
    await t.rejects(split(bytes, 512, ['a']), { code: 'TRUNCATED_TAR' })
  }
})
