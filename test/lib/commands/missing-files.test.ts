import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import {
  findLost as findLostOf,
  findMissingOf,
  missingOutcomes,
  type LostFile,
  type MissingFile,
} from '../../../lib/commands/missing-files.ts'
import type { Notice } from '../../../lib/core/outcome.ts'
import { createSumsFile } from '../../../lib/delivery/sums-file.ts'
import { plainDelivery } from '../../fixtures/plain-delivery.ts'

const SUM = '0'.repeat(64)

function findMissing(dir: string): Promise<MissingFile[]> {
  return findMissingOf({ names: [], dir }, plainDelivery())
}

async function findLost(dir: string): Promise<LostFile[]> {
  return findLostOf(dir, await createSumsFile(dir).text())
}

function sums(...names: string[]): string {
  return names.map((name) => `${SUM}  ${name}\n`).join('')
}

t.test('findMissing: nothing where all is there, or nothing is listed', async (t) => {
  t.strictSame(await findMissing(t.testdir({ a: '' })), [])
  const dir = t.testdir({
    SHA256SUMS: sums('a.tar.xz', 'a.tar.xz.json', 'tools/load', './b'),
    'a.tar.xz': '',
    'a.tar.xz.json': '',
    b: '',
    tools: { load: '' },
  })
  t.strictSame(await findMissing(dir), [])
  t.strictSame(await findMissingOf({ names: ['a'], dir: 'none' }, plainDelivery()), [])
})

t.test('findMissing: what is listed, then metadata that is alone', async (t) => {
  const dir = t.testdir({
    SHA256SUMS: sums('b.tar.xz', 'b.tar.xz.json', 'a.tar.zst.json', 'notes.txt', 'tools/load'),
    'a.tar.zst': '',
    'b.tar.xz.json': '',
    'd.tar.xz.json': '',
    'c.tar.xz.json': '',
    '._c.tar.xz.json': '',
    'other.json': '',
  })
  t.match(await findMissing(dir), [
    {
      name: 'b.tar.xz',
      archive: 'b.tar.xz',
      error: {
        code: 'NO_ARCHIVE',
        message: '"b.tar.xz" is missing: SHA256SUMS lists it',
        hint: /^copy it again from where it was made; what is not wanted any more, take out with --forget/,
      },
    },
    { name: 'a.tar.zst.json', archive: 'a.tar.zst', error: { code: 'NO_RECORD' } },
    { name: 'notes.txt', error: { code: 'NO_ARCHIVE', hint: /take its line out of SHA256SUMS$/ } },
    { name: 'tools/load' },
    {
      name: 'c.tar.xz.json',
      archive: 'c.tar.xz',
      error: { code: 'NO_ARCHIVE', message: 'archive of "c.tar.xz.json" is missing' },
    },
    { name: 'd.tar.xz.json' },
  ])
})

// what it is, the name, whether its line is dropped when a run begins, whether it is missed
const NAMES: [string, string, boolean, boolean][] = [
  ['outside of the directory', '../a.tar.xz', false, false],
  ['outside, by a way in between', 'tools/../../a.tar.xz', false, false],
  ['an absolute path', '/nowhere/a.tar.xz', false, false],
  ['what macOS leaves', '._a.tar.xz', true, false],
  ['too long', 'a'.repeat(300), true, true],
  ['below a file', 'SHA256SUMS/a', true, true],
  ['with a NUL', 'a\0b', false, false],
]

for (const [what, name, isLost, isMissing] of NAMES) {
  t.test(`findLost, findMissing: a name that is ${what}`, async (t) => {
    const dir = t.testdir({ SHA256SUMS: sums(name) })
    const lost = (await findLost(dir)).map((file) => [file.name, file.doubt])
    t.strictSame(lost, isLost ? [[name, undefined]] : [])
    t.equal((await findMissing(dir)).length, isMissing ? 1 : 0)
  })
}

t.test('findLost: a name in an encoding that is not UTF-8', async (t) => {
  const dir = t.testdir({})
  const name = Buffer.from('caf\xe9.txt', 'latin1')
  await writeFile(join(dir, 'SHA256SUMS'), Buffer.from(`${SUM}  caf\xe9.txt\n`, 'latin1'))
  t.equal((await findLost(dir)).length, 1)
  await writeFile(Buffer.concat([Buffer.from(`${dir}/`), name]), '')
  t.strictSame(await findLost(dir), [])
})

t.test('findLost: what the system says of a file is not taken for its absence', async (t) => {
  const dir = t.testdir({ SHA256SUMS: sums('loop/a'), loop: t.fixture('symlink', 'loop') })
  const error = {
    code: 'IO_FAILED',
    message: /^look for "loop\/a", which SHA256SUMS lists: lstat /,
  }
  t.match(await findLost(dir), [{ name: 'loop/a', doubt: error }])
  t.match(await findMissing(dir), [{ name: 'loop/a', archive: 'loop/a', error }])
})

t.test('missingOutcomes: each that was not reported fails', async (t) => {
  const dir = t.testdir({ SHA256SUMS: sums('a.tar.xz', 'a.tar.xz.json', 'b.tar.xz') })
  const told: Notice[] = []
  const notify = (notice: Notice): void => void told.push(notice)
  const missing = await findMissing(dir)
  const outcomes = [...missingOutcomes(missing, new Set(['a.tar.xz']), { notify })]
  t.match(outcomes, [{ image: 'b.tar.xz', archive: 'b.tar.xz', result: 'failed' }])
  t.equal(outcomes.length, 1)
  t.strictSame(told, [{ type: 'step', text: 'Checking b.tar.xz...' }])
})

t.test('missingOutcomes: of very many the first are told, and how many more', async (t) => {
  const names = Array.from({ length: 203 }, (_, n) => `${n}.tar.xz`)
  const missing = await findMissing(t.testdir({ SHA256SUMS: sums(...names) }))
  const outcomes = [...missingOutcomes(missing, new Set(), { notify: () => {} })]
  t.equal(outcomes.length, 201)
  t.match(outcomes.at(-1), {
    image: '3 more files',
    result: 'failed',
    error: { code: 'NO_ARCHIVE' },
  })
})
