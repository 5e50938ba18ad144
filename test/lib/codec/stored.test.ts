import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import t from 'tap'

import { isCompressed, storeXz, storeZstd } from '../../../lib/codec/stored.ts'
import { hexOf, sha256 } from '../../fixtures/digest.ts'
import { sh } from '../../fixtures/run.ts'
import { pseudoRandom } from '../../fixtures/sample-layers.ts'
import { chunked } from '../../fixtures/tar-builder.ts'

type Store = (chunks: AsyncIterable<Buffer>) => AsyncIterable<Buffer>

async function store(kind: Store, content: Buffer, chunkBytes = 65_536): Promise<Buffer> {
  async function* chunks(): AsyncGenerator<Buffer> {
    yield* chunked(content, chunkBytes)
  }
  const parts: Buffer[] = []
  for await (const part of kind(chunks())) parts.push(part)
  return Buffer.concat(parts)
}

const KIB = 1024
const MIB = 1024 * KIB
const CONTENT = pseudoRandom('content', 33 * MIB)
const SIZES = [0, 1, 2, 3, ...[64 * KIB, 128 * KIB, 32 * MIB].flatMap((n) => [n - 1, n, n + 1])] // prettier-ignore

// what reads it, from a pipe and from a file
const XZ_READERS = [
  'xz -dc',
  'xz -dc -T2',
  'xz -dc <FILE',
  'pixz -d',
  'pixz -d -p 1',
  'pixz -d -i FILE -o /dev/stdout',
]
const ZSTD_READERS = ['zstd -dc', 'zstd -dc <FILE', 'zstd -dc --memory=1MB']

for (const [name, kind, readers] of [
  ['storeXz', storeXz, XZ_READERS],
  ['storeZstd', storeZstd, ZSTD_READERS],
] as const) {
  for (const size of SIZES) {
    t.test(`${name}: ${size} bytes are read back by all`, async (t) => {
      const content = CONTENT.subarray(0, size)
      const stored = await store(kind, content)
      const file = join(t.testdir({}), 'stored')
      await writeFile(file, stored)
      t.ok(stored.length - size <= 100 + size / 1000, `${stored.length - size} bytes more`)
      for (const reader of readers) {
        // As with any other .xz file that holds nothing.
        if (size === 0 && reader.startsWith('pixz -d -i')) continue
        const command = `${reader.replace('FILE', file)} | sha256sum | cut -c-64`
        t.equal(await sh(command, { input: stored }), hexOf(sha256(content)), reader)
      }
      await sh(`${name === 'storeXz' ? 'xz' : 'zstd -q'} -t <${file}`)
    })
  }

  t.test(`${name}: the same bytes, however they come`, async (t) => {
    const content = CONTENT.subarray(0, 16 * MIB + 100)
    const whole = await store(kind, content, content.length)
    for (const chunkBytes of [1021, 65_537]) {
      t.ok((await store(kind, content, chunkBytes)).equals(whole))
    }
    const small = CONTENT.subarray(0, 70_000)
    t.ok((await store(kind, small, 1)).equals(await store(kind, small)))
  })

  t.test(`${name}: one stored after another is read as one`, async (t) => {
    const parts = [CONTENT.subarray(0, 100_000), Buffer.alloc(0), CONTENT.subarray(0, 17 * MIB)]
    const stored = await Promise.all(parts.map((part) => store(kind, part)))
    const padding = name === 'storeXz' ? [Buffer.alloc(4096)] : []
    const input = Buffer.concat(stored.flatMap((each) => [each, ...padding]))
    for (const reader of readers.filter((each) => !each.includes('FILE'))) {
      const digest = await sh(`${reader} | sha256sum | cut -c-64`, { input })
      t.equal(digest, hexOf(sha256(Buffer.concat(parts))), reader)
    }
  })

  t.test(`${name}: one that was cut off is found`, async (t) => {
    const stored = await store(kind, CONTENT.subarray(0, 200_000))
    const cut = stored.subarray(0, -1)
    await t.rejects(sh(readers[0] ?? '', { input: cut }))
  })
}

t.test('storeXz: blocks of 16 MiB that tell their sizes, and little memory', async (t) => {
  const file = join(t.testdir({}), 'stored.xz')
  await writeFile(file, await store(storeXz, CONTENT.subarray(0, 32 * MIB + 1)))
  const lines = (await sh(`xz --robot -lvv ${file}`)).split('\n').map((line) => line.split('\t'))
  const blocks = lines.filter(([kind]) => kind === 'block')
  t.strictSame(
    blocks.map((block) => [block[7], block[9], block[12]]),
    [16 * MIB, 16 * MIB, 1].map((size) => [`${size}`, 'CRC32', 'cu']),
  )
  t.ok(blocks.every((block) => block.at(-1)?.includes('lzma2=dict=4KiB')))
})

t.test('storeXz: a bit that changed is found', async (t) => {
  const stored = await store(storeXz, CONTENT.subarray(0, 200_000))
  stored[100_000] = (stored[100_000] ?? 0) ^ 1
  await t.rejects(sh('xz -dc', { input: stored }))
})

t.test('storeZstd: the runtime reads it', async (t) => {
  const content = CONTENT.subarray(0, 300_000)
  t.ok(zstdDecompressSync(await store(storeZstd, content)).equals(content))
})

t.test('storeXz, storeZstd: an error of the source is handed on', async (t) => {
  async function* broken(): AsyncGenerator<Buffer> {
    yield Buffer.from('a')
    throw new Error('broken')
  }
  for (const kind of [storeXz, storeZstd]) {
    const read = async (): Promise<void> => {
      for await (const part of kind(broken())) t.ok(part.length < 100)
    }
    await t.rejects(read(), { message: 'broken' })
  }
})

// what, its first bytes, whether it is
const KINDS: [string, Buffer, boolean][] = [
  ['gzip', gzipSync('a'), true],
  ['zstd', zstdCompressSync('a'), true],
  ['gzip, three bytes of it', gzipSync('a').subarray(0, 3), true],
  ['gzip, two bytes of it', gzipSync('a').subarray(0, 2), false],
  ['zstd, three bytes of it', zstdCompressSync('a').subarray(0, 3), false],
  ['nothing', Buffer.alloc(0), false],
  ['a tar', Buffer.from('layer/file'), false],
]

for (const [what, firstBytes, want] of KINDS) {
  t.test(`isCompressed: ${what}`, async (t) => {
    t.equal(isCompressed(firstBytes), want)
  })
}
