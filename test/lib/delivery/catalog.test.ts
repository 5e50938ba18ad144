import { rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { Catalog } from '../../../lib/delivery/catalog.ts'
import { formatMetadata } from '../../../lib/delivery/metadata.ts'
import { hexOf, sha256 } from '../../fixtures/digest.ts'
import { readAllMetadata, readLayers } from '../../fixtures/directory-reading.ts'
import { SAMPLE_RECORD, recordOfBytes } from '../../fixtures/sample-record.ts'

const NAME = 'a.tar.xz'
const [FIRST, SECOND] = [recordOfBytes(NAME, 'first'), recordOfBytes(NAME, 'second')]
const [FIRST_TEXT, SECOND_TEXT] = [formatMetadata(FIRST), formatMetadata(SECOND)]

t.test('metadataOf: none, a good one, a bad one, one that cannot be read', async (t) => {
  const dir = t.testdir({
    'good.tar.xz.json': formatMetadata(SAMPLE_RECORD),
    'bad.tar.xz.json': '{}',
    'dir.tar.xz.json': {},
  })
  const catalog = new Catalog(dir)
  t.equal(await catalog.metadataOf(join(dir, 'none.tar.xz')), undefined)
  t.equal(await catalog.metadataSum('none.tar.xz'), undefined)
  t.strictSame(await catalog.metadataOf(join(dir, 'good.tar.xz')), SAMPLE_RECORD)
  t.equal(await catalog.metadataSum('good.tar.xz'), hexOf(sha256(formatMetadata(SAMPLE_RECORD))))
  await t.rejects(catalog.metadataOf(join(dir, 'bad.tar.xz')), {
    code: 'BAD_RECORD',
    message: 'read "bad.tar.xz.json": ',
  })
  await t.rejects(catalog.metadataOf(join(dir, 'dir.tar.xz')), { code: 'BAD_FILE' })
})

t.test(
  'metadataOf: what was read first counts, also that there was none, or a bad one',
  async (t) => {
    const dir = t.testdir({ [`${NAME}.json`]: FIRST_TEXT, 'bad.tar.xz.json': '{' })
    const catalog = new Catalog(dir)
    for (let n = 0; n < 2; n++) {
      t.strictSame(await catalog.metadataOf(NAME), FIRST)
      t.equal(await catalog.metadataOf('b.tar.xz'), undefined)
      await t.rejects(catalog.metadataOf('bad.tar.xz'), { code: 'BAD_RECORD' })
      t.strictSame([...(await catalog.names())].toSorted(), [`${NAME}.json`, 'bad.tar.xz.json'])
      await rm(join(dir, `${NAME}.json`), { force: true })
      await writeFile(join(dir, 'b.tar.xz.json'), FIRST_TEXT)
      await writeFile(join(dir, 'bad.tar.xz.json'), FIRST_TEXT)
    }
    catalog.renew()
    t.equal(await catalog.metadataOf(NAME), undefined)
    t.strictSame(await catalog.metadataOf('bad.tar.xz'), FIRST)
    t.strictSame([...(await catalog.names())].toSorted(), ['b.tar.xz.json', 'bad.tar.xz.json'])
  },
)

t.test('metadataOf: what is refused is not parsed', async (t) => {
  const dir = t.testdir({ [`${NAME}.json`]: '{' })
  const asked: string[][] = []
  const catalog = new Catalog(dir, {
    check: async (...file) => {
      asked.push(file)
      throw new Error('refused')
    },
  })
  for (let n = 0; n < 2; n++) {
    await t.rejects(catalog.metadataOf(NAME), { message: 'refused' })
  }
  t.strictSame(asked, [[join(dir, `${NAME}.json`), hexOf(sha256('{'))]])
})

t.test('note…: what this run writes and removes is known', async (t) => {
  const dir = t.testdir({ [NAME]: 'first', [`${NAME}.json`]: FIRST_TEXT, 'b.tar.zst': '' })
  const catalog = new Catalog(dir)
  t.strictSame(await catalog.archives(), [NAME, 'b.tar.zst'])
  t.strictSame(await catalog.metadataOf(NAME), FIRST)
  catalog.noteWritten(join(dir, NAME), SECOND, SECOND_TEXT)
  t.equal(await catalog.metadataOf(NAME), SECOND)
  t.equal(await catalog.metadataSum(NAME), hexOf(sha256(SECOND_TEXT)))
  catalog.noteWritten(join(dir, 'c.tar.xz'), FIRST, FIRST_TEXT)
  t.strictSame(await catalog.archives(), [NAME, 'b.tar.zst', 'c.tar.xz'])
  t.match(await readAllMetadata(catalog), [{ metadata: SECOND }, { metadata: FIRST }])
  catalog.noteUnknown(NAME)
  t.strictSame(await catalog.metadataOf(NAME), FIRST, 'as it lies there')
  await rm(join(dir, `${NAME}.json`))
  catalog.noteRemoved(join(dir, NAME))
  t.equal(await catalog.metadataOf(NAME), undefined)
  t.strictSame(await catalog.archives(), ['b.tar.zst', 'c.tar.xz'])
})

t.test(
  'metadataOf: past the limit only sums are kept: it is read again, and is the same',
  async (t) => {
    const names = ['a.tar.xz', 'b.tar.xz', 'c.tar.xz']
    const dir = t.testdir(Object.fromEntries(names.map((name) => [`${name}.json`, FIRST_TEXT])))
    const catalog = new Catalog(dir, { maxKeptBytes: 2 * FIRST_TEXT.length })
    // One after the other: the first two are kept.
    const found = async () => {
      const all = []
      for (const name of names) all.push(await catalog.metadataOf(name))
      return all
    }
    const [a, b, c] = await found()
    const again = await found()
    t.ok(again[0] === a && again[1] === b && again[2] !== c)
    t.strictSame(again, [FIRST, FIRST, FIRST])
    await writeFile(join(dir, 'c.tar.xz.json'), SECOND_TEXT)
    await t.rejects(catalog.metadataOf('c.tar.xz'), {
      code: 'BAD_RECORD',
      message: 'read "c.tar.xz.json": it was changed while this run used it',
    })
    t.equal(await catalog.metadataSum('c.tar.xz'), hexOf(sha256(FIRST_TEXT)))
    await rm(join(dir, 'c.tar.xz.json'))
    await t.rejects(catalog.metadataOf('c.tar.xz'), { code: 'BAD_RECORD' })
    catalog.noteUnknown('a.tar.xz')
    await writeFile(join(dir, 'c.tar.xz.json'), FIRST_TEXT)
    catalog.noteUnknown('c.tar.xz')
    t.equal(
      await catalog.metadataOf('c.tar.xz'),
      await catalog.metadataOf('c.tar.xz'),
      'there is room',
    )
  },
)

t.test('archives: archives only, sorted', async (t) => {
  const names = ['b.tar.xz', 'a.tar.xz', 'a.tar.xz.json', '.hidden.tar.xz', 'c.tar', 'SHA256SUMS']
  const dir = t.testdir(Object.fromEntries(names.map((name) => [name, ''])))
  t.strictSame(await new Catalog(dir).archives(), ['a.tar.xz', 'b.tar.xz'])
})

t.test('all: those that can be read, in the order of their names', async (t) => {
  const metadata = formatMetadata(SAMPLE_RECORD)
  const dir = t.testdir({
    'b.tar.xz.json': metadata,
    'a.tar.xz.json': metadata,
    'bad.tar.xz.json': '{}',
    'newer.tar.xz.json': '{"schema":3}',
    'dir.tar.xz.json': {},
    'other.json': metadata,
    'c.tar.xz': '',
    SHA256SUMS: '',
  })
  t.strictSame(await readAllMetadata(dir), [
    { metadata: SAMPLE_RECORD, archive: join(dir, 'a.tar.xz') },
    { metadata: SAMPLE_RECORD, archive: join(dir, 'b.tar.xz') },
  ])
})

t.test('all: a directory that is not there', async (t) => {
  const dir = join(t.testdir({ file: '' }), 'none')
  for (const path of [dir, join(dir, '..', 'file')]) {
    await t.rejects(readAllMetadata(path), {
      code: 'NO_DIRECTORY',
      message: `directory not found: "${path}"`,
    })
  }
})

t.test('all: a directory that holds nothing', async (t) => {
  const dir = t.testdir({})
  t.strictSame(
    [await readAllMetadata(dir), await readLayers([dir]), await readLayers([])],
    [[], [], []],
  )
})

t.test('all: a huge one is passed over, what is no failure is thrown', async (t) => {
  const dir = t.testdir({ 'huge.tar.xz.json': '' })
  await truncate(join(dir, 'huge.tar.xz.json'), 3 * 1024 ** 3)
  const warnings: string[] = []
  t.strictSame(await readAllMetadata(dir, (text) => void warnings.push(text)), [])
  t.match(warnings, [/huge\.tar\.xz\.json": size: got 3221225472 bytes/])
  await writeFile(join(dir, 'small.tar.xz.json'), '{}')
  const check = async () => Promise.reject(new Error('a bug'))
  const broken = readAllMetadata(new Catalog(dir, { check }))
  await t.rejects(broken, { message: 'a bug' })
})
