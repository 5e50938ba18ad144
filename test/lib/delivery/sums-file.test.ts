import { readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { createSumsFile } from '../../../lib/delivery/sums-file.ts'

const line = (name: string, digit = '0'): string => `${digit.repeat(64)}  ${name}\n`
const change = (name: string, digit?: string) => new Map([[name, digit?.repeat(64)]])

t.test('sums: none where there is no file, and none is made of nothing', async (t) => {
  const dir = t.testdir({})
  const sums = createSumsFile(dir)
  t.strictSame([await sums.listed(), await sums.text()], [new Map(), ''])
  await sums.change(change('a'))
  await t.rejects(stat(join(dir, 'SHA256SUMS')), { code: 'ENOENT' })
})

t.test('sums: changes, known at once, written only if there are any', async (t) => {
  const dir = t.testdir({ SHA256SUMS: line('a') })
  const path = join(dir, 'SHA256SUMS')
  const sums = createSumsFile(dir)
  const { ino } = await stat(path)
  await sums.change(change('a', '0'))
  t.equal((await stat(path)).ino, ino)
  await sums.change(change('b', '1'))
  t.equal((await sums.listed()).get('b'), '1'.repeat(64))
  t.equal(await readFile(path, 'utf8'), line('a') + line('b', '1'))
  await sums.remove([{ name: 'a', bytes: Buffer.from('a') }])
  t.equal(await sums.text(), line('b', '1'))
  await sums.change(change('b'))
  await t.rejects(stat(path), { code: 'ENOENT' })
})

t.test('sums: what somebody else wrote meanwhile stays', async (t) => {
  const dir = t.testdir({ SHA256SUMS: line('a') })
  const path = join(dir, 'SHA256SUMS')
  const sums = createSumsFile(dir)
  await sums.change(change('b', '1'))
  for (const mine of ['# mine\n', line('c', '2')]) {
    await writeFile(path, (await readFile(path, 'utf8')) + mine)
    await sums.change(change('d', `${mine.length % 10}`))
    t.ok((await readFile(path, 'utf8')).includes(mine))
  }
  t.equal((await sums.listed()).get('c'), '2'.repeat(64))
  // What is wanted lies there by now: nothing is to be written.
  await writeFile(path, line('e', '3'))
  const { ino } = await stat(path)
  await sums.change(change('e', '3'))
  t.equal((await stat(path)).ino, ino)
  await rm(path)
  await sums.change(change('a', '4'))
  t.equal(await readFile(path, 'utf8'), line('a', '4'))
})

t.test('sums: what was read counts until it is renewed', async (t) => {
  const dir = t.testdir({ SHA256SUMS: line('a') })
  const sums = createSumsFile(dir)
  for (const want of [line('a'), line('b')]) {
    t.equal(await sums.text(), want)
    await writeFile(join(dir, 'SHA256SUMS'), line('b'))
    t.equal(await sums.text(), want)
    sums.renew()
  }
})

t.test('sums: what cannot be read', async (t) => {
  const dir = t.testdir({ SHA256SUMS: {} })
  await t.rejects(createSumsFile(dir).listed(), { code: 'BAD_FILE' })
})
