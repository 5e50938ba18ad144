import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'

import { startDecompressor } from '../../../lib/codec/decompress.ts'
import type { Decompressors } from '../../../lib/codec/programs.ts'
import { ToolError } from '../../../lib/core/errors.ts'
import { archiveAt, type ArchiveRange } from '../../../lib/io/archive-file.ts'
import { startChild } from '../../../lib/io/child.ts'
import { useScripts } from '../../fixtures/programs-on-path.ts'
import { sh } from '../../fixtures/run.ts'
import { tar } from '../../fixtures/tar-builder.ts'
import { through } from '../../fixtures/through.ts'

const BYTES = tar([
  { path: 'a', content: randomBytes(300_000) },
  { path: 'b', content: 'x'.repeat(9e5) },
])
const HALVES = [BYTES.subarray(0, 1000), BYTES.subarray(1000)]

const builtin = { name: 'builtin', version: '5.8.4' } as const
const zstd = { name: 'zstd', version: '1.5.4' } as const
const READERS = {
  pixz: { xz: { name: 'pixz', version: '1.0.7' }, zstd },
  xz: { xz: { name: 'xz', version: '5.4.1' }, zstd },
  'xz 5.2': { xz: { name: 'xz', version: '5.2.5' }, zstd },
  'an xz of unknown version': { xz: { name: 'xz', version: 'unknown' }, zstd },
  builtin: { xz: builtin, zstd: builtin },
} satisfies Record<string, Decompressors>

/** Writes what these programs make of both halves of the bytes into one file, as two parts of it. */
async function parts(t: Test, programs: readonly string[]): Promise<ArchiveRange[]> {
  const path = join(t.testdir({}), 'a.tar')
  const pieces = await Promise.all(programs.map((program, index) => made(program, index)))
  await writeFile(path, Buffer.concat(pieces))
  const [first = 0, second = 0] = pieces.map((piece) => piece.length)
  return [
    { file: archiveAt(path), offsetBytes: 0, sizeBytes: first },
    { file: archiveAt(path), offsetBytes: first, sizeBytes: second },
  ]
}

// Each is made once: some of the programs take their time.
const shelf = new Map<string, Promise<Buffer>>()
const dir = t.testdir({})

function made(program: string, index: number): Promise<Buffer> {
  const key = `${index} ${program}`
  const piece = shelf.get(key) ?? make(program, index, join(dir, `${shelf.size}`))
  shelf.set(key, piece)
  return piece
}

async function make(program: string, index: number, file: string): Promise<Buffer> {
  await sh(`(${program}) >${file}`, { input: HALVES[index] ?? '' })
  return readFile(file)
}

async function bytesOf([range]: readonly ArchiveRange[]): Promise<Buffer> {
  return readFile(range?.file.path ?? '')
}

// what made the two halves
const MADE: string[][] = [
  ['xz -0', 'pixz -t -0; head -c 4096 /dev/zero'],
  ['zstd -3', 'zstd -19 --long=31'],
  ['xz -0', 'zstd -1'],
  ['zstd -1', 'xz -0'],
]

for (const [name, decompressors] of Object.entries(READERS)) {
  for (const programs of MADE) {
    for (const threads of [undefined, 1, 2]) {
      const title = `${programs.join(' and ')} by ${name} with ${threads ?? 'all'} threads`
      t.test(`startDecompressor: ${title}`, async (t) => {
        const ranges = await parts(t, programs)
        const child = await startDecompressor(ranges, { decompressors, threads })
        t.ok((await through(child, await bytesOf(ranges), 100_003)).equals(BYTES))
      })
    }
  }

  t.test(`startDecompressor: ${name}: into another output`, async (t) => {
    for (const programs of [
      ['xz -0', 'xz -0'],
      ['xz -0', 'zstd'],
    ]) {
      const ranges = await parts(t, programs)
      const file = join(t.testdirName, 'out')
      const sink = startChild('tee', [file], {
        toError: (text) => new ToolError('IO_FAILED', text),
      })
      sink.stdout.resume()
      const child = await startDecompressor(ranges, { decompressors, output: sink.stdin })
      child.stdout.resume()
      child.stdin.end(await bytesOf(ranges))
      await child.exited
      sink.stdin.end()
      await sink.exited
      t.equal(await sh(`sha256sum <${file}`), await sh('sha256sum', { input: BYTES }))
    }
  })
}

// what, how it is made of a good one
const DAMAGES: [string, (archive: Buffer) => Buffer][] = [
  ['is none', () => Buffer.from('no archive at all, but long enough to look at')],
  ['is cut off', (archive) => archive.subarray(0, archive.length / 2)],
  ['has one bit changed', (archive) => {
    const changed = Buffer.from(archive)
    changed[100_000] = (changed[100_000] ?? 0) ^ 1
    return changed
  }],
] // prettier-ignore

for (const name of ['pixz', 'xz', 'builtin'] as const) {
  for (const [what, damage] of DAMAGES) {
    for (const programs of [
      ['xz -0', 'xz -0'],
      ['zstd', 'zstd'],
      ['zstd', 'xz -0'],
    ]) {
      const title = `${name}: an archive by ${programs.join(' and ')} that ${what}`
      t.test(`startDecompressor: ${title}`, async (t) => {
        const whole = await parts(t, programs)
        const archive = damage(await bytesOf(whole))
        const path = join(t.testdirName, 'a.tar')
        await writeFile(path, archive)
        const ranges =
          programs[0] === programs[1]
            ? [{ file: archiveAt(path), offsetBytes: 0, sizeBytes: archive.length }]
            : whole
        const child = await startDecompressor(ranges, { decompressors: READERS[name] })
        const work = through(child, archive)
        await t.rejects(work, {
          code: /^(BAD_ARCHIVE|TRUNCATED_TAR)$/,
          message: /(?!.*Illegal seek)/,
        })
      })
    }
  }
}

t.test('startDecompressor: a program gets huge pages', async (t) => {
  const ranges = await parts(t, ['xz -0', 'xz -0'])
  await useScripts(t, { xz: 'printf %s "$GLIBC_TUNABLES"' })
  const child = await startDecompressor(ranges, { decompressors: READERS.xz })
  const said = await through(child, Buffer.alloc(0))
  t.match(said.toString(), /^glibc\.malloc\.hugetlb=1\b/)
})

t.test('startDecompressor: a failure is told', async (t) => {
  const ranges = await parts(t, ['xz -0', 'xz -0'])
  await useScripts(t, { xz: 'echo why >&2; exit 1' })
  const child = await startDecompressor(ranges, { decompressors: READERS.xz })
  child.stdin.on('error', () => {})
  child.stdout.resume()
  await t.rejects(child.exited, {
    code: 'BAD_ARCHIVE',
    message: 'decompress "a.tar": xz: why',
    hint: /copy it again/,
  })
})

// pixz 1.0.7 loses it where the stream tells the sizes of its blocks, as `xz -T2` has it.
for (const [what, padding, block, isBuiltin] of [
  ['a small stream right behind another one', 0, 5000, true],
  ['a small stream a little behind another one', 2048, 5000, true],
  ['a small stream behind as much as pixz reads ahead', 4096, 5000, false],
  ['a stream that begins with a small block', 0, 2048, true],
  ['a stream that begins with a large block', 0, 500_000, false],
] as const) {
  t.test(`startDecompressor: pixz: ${what}`, async (t) => {
    const path = join(t.testdir({}), 'a.tar')
    const start = block === 5000 ? BYTES.length - block : 1000
    await sh(`head -c ${start} | xz -0T2 >${path}; head -c ${padding} /dev/zero >>${path}`, {
      input: BYTES,
    })
    await sh(`xz -0T2 --block-size=${block} >>${path}`, { input: BYTES.subarray(start) })
    const archive = await readFile(path)
    const told: string[] = []
    const decompressors = { ...READERS.pixz, onDegraded: (text: string) => void told.push(text) }
    const range = { file: archiveAt(path), offsetBytes: 0, sizeBytes: archive.length }
    const child = await startDecompressor([range], { decompressors })
    t.ok((await through(child, archive)).equals(BYTES))
    t.match(told, isBuiltin ? [/^"a\.tar" is read by what is built in: .*pixz/] : [])
    t.equal(told.length, isBuiltin ? 1 : 0)
  })
}

// just over it, and more than can be told
for (const window of ['a9', 'ff']) {
  t.test(`startDecompressor: zstd: a window over the limit: ${window}`, async (t) => {
    const path = join(t.testdir({}), 'a.tar')
    const frame = Buffer.from(`28b52ffd00${window}010000`, 'hex')
    await writeFile(path, frame)
    const range = { file: archiveAt(path), offsetBytes: 0, sizeBytes: frame.length }
    const child = await startDecompressor([range], { decompressors: READERS.pixz })
    await t.rejects(through(child, frame), {
      code: 'BAD_ARCHIVE',
      message: /^decompress "a\.tar": zstd: /,
      hint: 'compress it again with a window of at most 2 GiB',
    })
  })
}

t.test('startDecompressor: a file that is gone', async (t) => {
  const range = { file: archiveAt(join(t.testdir({}), 'gone')), offsetBytes: 0, sizeBytes: 1 }
  const starting = startDecompressor([range], { decompressors: READERS.xz })
  await t.rejects(starting, { code: 'ENOENT' })
})
