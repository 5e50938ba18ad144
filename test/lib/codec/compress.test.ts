import { randomBytes } from 'node:crypto'
import os from 'node:os'
import t from 'tap'

import { blockBytes, startCompressor } from '../../../lib/codec/compress.ts'
import type { Coding } from '../../../lib/codec/formats.ts'
import type { Compressor } from '../../../lib/codec/programs.ts'
import type { Task } from '../../../lib/io/task.ts'
import { useScripts } from '../../fixtures/programs-on-path.ts'
import { sh } from '../../fixtures/run.ts'
import { tar } from '../../fixtures/tar-builder.ts'
import { through } from '../../fixtures/through.ts'

const PIXZ: Compressor = { name: 'pixz', version: '1.0.7' }
const XZ: Compressor = { name: 'xz', version: '5.4.1' }
const ZSTD: Compressor = { name: 'zstd', version: '1.5.4' }
const BUILTIN: Compressor = { name: 'builtin', version: '1.5.7' }
const BYTES = tar([
  { path: 'a', content: randomBytes(300_000) },
  { path: 'b', content: 'x'.repeat(9e5) },
])

interface Way {
  readonly compressor: Compressor
  /** The program that reads what it writes. */
  readonly reader: string
  readonly coding: (level: number) => Coding
}

const xz = (level: number): Coding => ({ codec: 'xz', level })
const zstd = (level: number): Coding => ({ codec: 'zstd', level, windowLog: 27 })
const WAYS: Way[] = [
  { compressor: PIXZ, reader: 'xz -dc', coding: xz },
  { compressor: XZ, reader: 'xz -dc', coding: xz },
  { compressor: ZSTD, reader: 'zstd -dc', coding: zstd },
  { compressor: BUILTIN, reader: 'zstd -dc', coding: zstd },
]

for (const { compressor, reader, coding } of WAYS) {
  const { name } = compressor

  t.test(`startCompressor: ${name}: what ${reader} reads`, async (t) => {
    const archive = await through(startCompressor(compressor, { coding: coding(1) }), BYTES)
    t.ok(archive.length < BYTES.length)
    const read = await sh(`${reader} | sha256sum`, { input: archive })
    t.equal(read, await sh('sha256sum', { input: BYTES }))
  })

  t.test(`startCompressor: ${name}: the same bytes, however they come`, async (t) => {
    const ways: [number, number | undefined][] = [
      [BYTES.length, undefined],
      [10_007, 1],
      [10_007, 2],
      [100_003, 3],
    ]
    const [first, ...others] = await Promise.all(
      ways.map(([size, threads]) =>
        through(startCompressor(compressor, { coding: coding(1), threads }), BYTES, size),
      ),
    )
    for (const other of others) t.ok(first?.equals(other))
  })

  t.test(`startCompressor: ${name}: a higher level is smaller`, async (t) => {
    const text = Buffer.from(await sh('seq 200000'))
    const [fast = 0, small = 0] = await Promise.all(
      [coding(0).codec === 'xz' ? 0 : 1, 9].map(async (level) => {
        const child = startCompressor(compressor, { coding: coding(level) })
        return (await through(child, text)).length
      }),
    )
    t.ok(small < fast, `${small} < ${fast}`)
  })
}

t.test('startCompressor: xz: options in the environment change nothing', async (t) => {
  const archive = () => through(startCompressor(XZ, { coding: xz(1) }), BYTES)
  const before = await archive()
  t.teardown(() => {
    delete process.env['XZ_OPT']
    delete process.env['XZ_DEFAULTS']
  })
  process.env['XZ_OPT'] = '-9e'
  process.env['XZ_DEFAULTS'] = '--check=none'
  t.ok(before.equals(await archive()))
})

t.test('startCompressor: xz: one processor gives the same bytes as many', async (t) => {
  const archives = [1, 2].map(async (processors) => {
    const { startCompressor: start } = await t.mockImport<
      typeof import('../../../lib/codec/compress.ts')
    >('../../../lib/codec/compress.ts', {
      'node:os': { ...os, availableParallelism: () => processors },
    })
    return through(start(XZ, { coding: xz(0) }), BYTES)
  })
  const [one, two] = await Promise.all(archives)
  t.ok(one && two?.equals(one))
})

const MIB = 1024 * 1024

// size of a layer in MiB, how many blocks it gets at level 6
const BLOCKS: [number, { pixz: number; xz: number }][] = [
  [7, { pixz: 1, xz: 1 }],
  [8, { pixz: 2, xz: 2 }],
  [13, { pixz: 3, xz: 3 }],
  [65, { pixz: 5, xz: 4 }],
]

for (const [size, blocks] of BLOCKS) {
  t.test(`startCompressor: a layer of ${size} MiB is so many blocks`, async (t) => {
    const layer = Buffer.alloc(size * MIB, 'layer')
    for (const compressor of [PIXZ, XZ]) {
      const child = startCompressor(compressor, { coding: xz(6), sizeBytes: layer.length })
      const archive = await through(child, layer)
      const dir = t.testdir({ 'a.xz': archive })
      const listed = await sh(`xz --robot -l ${dir}/a.xz | awk '/^totals/ {print $3}'`)
      t.equal(Number(listed), blocks[compressor.name === 'pixz' ? 'pixz' : 'xz'], compressor.name)
    }
  })
}

// size of a layer in MiB, how much of it each job of zstd gets, in bytes
const JOBS: [number, number][] = [
  [0, 128 * MIB],
  [95, 128 * MIB],
  [96, 48 * MIB],
  [160, Math.ceil((160 * MIB) / 3 / 65536) * 65536],
  [500, 125 * MIB],
  [600, 128 * MIB],
]

for (const [size, jobBytes] of JOBS) {
  t.test(`startCompressor: a layer of ${size} MiB in jobs of ${jobBytes} bytes`, async (t) => {
    await useScripts(t, { zstd: 'printf %s "$*"' })
    const options = { coding: zstd(3), sizeBytes: size * MIB }
    const said = await through(startCompressor(ZSTD, options), Buffer.alloc(0))
    t.match(said.toString(), `-B${jobBytes} `)
    t.equal(blockBytes(ZSTD, options.coding, options.sizeBytes), jobBytes)
    t.equal(blockBytes(BUILTIN, options.coding, options.sizeBytes), 128 * MIB)
  })
}

t.test('startCompressor: a program gets huge pages for a large layer', async (t) => {
  await useScripts(t, { pixz: 'printf %s "$GLIBC_TUNABLES"' })
  const of = async (sizeBytes?: number): Promise<string> =>
    String(await through(startCompressor(PIXZ, { coding: xz(6), sizeBytes }), Buffer.alloc(0)))
  t.match(await of(128 * MIB), /^glibc\.malloc\.hugetlb=1\b/)
  t.equal(await of(127 * MIB), process.env['GLIBC_TUNABLES'] ?? '')
  t.equal(await of(), process.env['GLIBC_TUNABLES'] ?? '', 'what is between layers is small')
})

// what a program that fails does, what is told of it; pixz complains of every pipe
const DEATHS: [string, string][] = [
  ['echo Out of memory >&2; exit 1', 'Out of memory'],
  ['kill -9 $$', 'it ended with SIGKILL'],
  ['echo "can not seek in input: Illegal seek" >&2; kill -9 $$', 'it ended with SIGKILL'],
  ['echo "can not seek in input: Illegal seek" >&2; echo why >&2; exit 1', 'why'],
]

for (const [script, told] of DEATHS) {
  t.test(`startCompressor: a failure is told: ${script}`, async (t) => {
    await useScripts(t, { pixz: script, zstd: script })
    const children: [string, Task][] = [
      ['pixz', startCompressor(PIXZ, { coding: xz(6) })],
      ['zstd', startCompressor(ZSTD, { coding: zstd(3) })],
    ]
    for (const [name, child] of children) {
      child.stdout.resume()
      const message = new RegExp(`^compress: ${name}: ${told}$`)
      await t.rejects(child.exited, { code: 'COMPRESSOR_FAILED', message })
    }
  })
}
