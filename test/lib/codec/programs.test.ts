import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import {
  findCompressor,
  findCompressors,
  findDecompressors,
  type CompressorName,
} from '../../../lib/codec/programs.ts'
import type { Notice } from '../../../lib/core/outcome.ts'
import { usePrograms, useScripts } from '../../fixtures/programs-on-path.ts'

const ZSTD_INSIDE = { name: 'builtin', version: process.versions['zstd'] }
const XZ_INSIDE = { name: 'builtin', version: 'liblzma' }
const PIXZ = { name: 'pixz', version: /^\d+\.\d+/ }
const XZ = { name: 'xz', version: /^\d+\.\d+\.\d+/ }
const ZSTD = { name: 'zstd', version: /^\d+\.\d+\.\d+/ }

const OLD_XZ = 'echo xz "(XZ Utils)" 5.2.5'

const notify = (): void => {}

// what is on PATH, the codec, what is found
const FOUND: [string[], 'xz' | 'zstd', object][] = [
  [['pixz', 'xz'], 'xz', PIXZ],
  [['pixz'], 'xz', PIXZ],
  [['xz', 'zstd'], 'xz', XZ],
  [['xz', 'zstd'], 'zstd', ZSTD],
  [['pixz', 'xz'], 'zstd', ZSTD_INSIDE],
]

for (const [names, codec, want] of FOUND) {
  t.test(`findCompressor: ${codec}, with ${names.join(' and ')} on PATH`, async (t) => {
    await usePrograms(t, names)
    t.match(await findCompressor(codec), want)
  })
}

t.test('findCompressor: xz, with neither on PATH', async (t) => {
  await usePrograms(t, ['zstd'])
  await t.rejects(findCompressor('xz'), {
    code: 'NO_COMPRESSOR',
    message: 'find a compressor: neither pixz nor xz is on PATH',
    hint: /apt-get install pixz.*--format zst/,
  })
})

t.test('findCompressor: one that does not tell its version', async (t) => {
  await useScripts(t, { xz: 'exit 0' })
  t.strictSame(await findCompressor('xz'), { name: 'xz', version: 'unknown' })
})

t.test('findCompressor: the one that is asked for', async (t) => {
  await usePrograms(t, ['pixz', 'xz', 'zstd'])
  t.match(await findCompressor('xz', 'xz'), XZ)
  t.match(await findCompressor('zstd', 'builtin'), ZSTD_INSIDE)
  for (const name of ['zstd', 'builtin'] as const) {
    await t.rejects(findCompressor('xz', name), {
      code: 'USAGE',
      message: `--compressor: ${name} does not write xz`,
    })
  }
})

t.test('findCompressor: one that is asked for and not there', async (t) => {
  await usePrograms(t, ['xz'])
  await t.rejects(findCompressor('xz', 'pixz'), {
    code: 'NO_COMPRESSOR',
    message: 'find a compressor: pixz is not on PATH',
  })
})

t.test('findCompressors: says what it compresses with', async (t) => {
  await usePrograms(t, ['pixz'])
  const notices: Notice[] = []
  const found = await findCompressors({
    coding: { codec: 'xz', level: 3 },
    compressor: undefined,
    threads: 2,
    notify: (notice) => notices.push(notice),
  })
  t.match(found, { compressor: PIXZ, decompressors: { xz: PIXZ, zstd: ZSTD_INSIDE } })
  t.match(notices, [{ type: 'remark', text: /^compressing with pixz \S+, level 3$/ }])
})

// the versions on PATH, the codec, what is wanted, which are asked
const ASKED: [Record<string, string>, 'xz' | 'zstd', CompressorName | undefined, string[]][] = [
  [{ pixz: '1.0.7', xz: '5.4.1', zstd: '1.5.4' }, 'xz', undefined, ['pixz', 'zstd']],
  [{ pixz: '1.0.7', xz: '5.4.1', zstd: '1.5.4' }, 'zstd', undefined, ['pixz', 'zstd']],
  [{ pixz: '1.0.7', xz: '5.4.1', zstd: '1.5.4' }, 'xz', 'xz', ['pixz', 'xz', 'zstd']],
  [{ xz: '5.2.5', zstd: '1.5.4' }, 'xz', undefined, ['xz', 'zstd']],
]

for (const [versions, codec, wanted, want] of ASKED) {
  const what = `${wanted ?? 'any'} for ${codec}, of ${Object.keys(versions).join(', ')}`
  t.test(`findCompressors: each is asked once, and no more than are needed: ${what}`, async (t) => {
    const log = join(t.testdir(), 'asked')
    const scripts = Object.entries(versions).map(([name, version]) => {
      return [name, `echo ${name} >>${log}; echo ${version}`] as const
    })
    await useScripts(t, Object.fromEntries(scripts))
    const coding = { codec, level: 3 }
    await findCompressors({ coding, compressor: wanted, threads: 2, notify })
    t.strictSame((await readFile(log, 'utf8')).trimEnd().split('\n').toSorted(), want)
  })
}

t.test('findCompressors: the one that is asked for, or that writes it', async (t) => {
  await useScripts(t, { xz: OLD_XZ, pixz: 'echo 1.0.7' })
  const find = (compressor: CompressorName | undefined) =>
    findCompressors({ coding: { codec: 'xz', level: 3 }, compressor, threads: 2, notify })
  t.match(await find('xz'), { compressor: XZ, decompressors: { xz: PIXZ } })
  t.match(await find('pixz'), { compressor: PIXZ, decompressors: { xz: PIXZ } })
  await useScripts(t, { xz: OLD_XZ })
  t.match(await find(undefined), { compressor: XZ, decompressors: { xz: XZ_INSIDE } })
  await t.rejects(find('builtin'), { code: 'USAGE' })
})

// scripts on PATH, threads, what reads xz
const READERS: [string, Record<string, string>, number, object][] = [
  ['an old xz', { xz: OLD_XZ }, 2, XZ_INSIDE],
  ['an old xz, and one processor', { xz: OLD_XZ }, 1, { name: 'xz', version: '5.2.5' }],
  ['xz 5.4', { xz: 'echo 5.4.0' }, 2, { name: 'xz', version: '5.4.0' }],
  ['xz 6', { xz: 'echo 6.0.0' }, 2, { name: 'xz', version: '6.0.0' }],
  ['pixz and an old xz', { xz: OLD_XZ, pixz: 'echo 1.0.7' }, 2, PIXZ],
  ['nothing', {}, 2, XZ_INSIDE],
  ['nothing, and one processor', {}, 1, XZ_INSIDE],
]

for (const [what, scripts, threads, want] of READERS) {
  t.test(`findDecompressors: ${what}`, async (t) => {
    await useScripts(t, scripts)
    const { xz, zstd } = await findDecompressors({ threads, wanted: undefined, notify })
    t.match(xz, want)
    t.match(zstd, ZSTD_INSIDE)
  })
}

// what is asked for, what reads xz, what reads zst
const WANTED: ['pixz' | 'xz' | 'zstd' | 'builtin', object, object][] = [
  ['pixz', PIXZ, ZSTD],
  ['xz', XZ, ZSTD],
  ['zstd', PIXZ, ZSTD],
  ['builtin', XZ_INSIDE, ZSTD_INSIDE],
]

for (const [wanted, xz, zstd] of WANTED) {
  t.test(`findDecompressors: asked for ${wanted}`, async (t) => {
    await usePrograms(t, ['pixz', 'xz', 'zstd'])
    t.match(await findDecompressors({ threads: undefined, wanted, notify }), { xz, zstd })
  })
}

t.test('findDecompressors: asked for one that is not there', async (t) => {
  await usePrograms(t, ['xz'])
  await t.rejects(findDecompressors({ threads: 2, wanted: 'zstd', notify }), {
    code: 'NO_COMPRESSOR',
  })
})

t.test('findDecompressors: work for one processor only is remarked', async (t) => {
  const notices: Notice[] = []
  const tell = (notice: Notice) => notices.push(notice)
  const found = await findDecompressors({ threads: 2, wanted: 'builtin', notify: tell })
  found.onDegraded?.('it is one block')
  t.strictSame(notices, [{ type: 'remark', text: 'it is one block' }])
})
