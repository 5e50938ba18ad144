import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { Catalog } from '../../../lib/delivery/catalog.ts'
import {
  examineArchive,
  examineBeside,
  readValidMetadata,
} from '../../../lib/delivery/existing-archive.ts'
import { formatMetadata } from '../../../lib/delivery/metadata.ts'
import { temporaryPath, writeFileAtomic } from '../../../lib/io/atomic-file.ts'
import { recordOfBytes } from '../../fixtures/sample-record.ts'

const NAME = 'a.tar.xz'
const GOOD = recordOfBytes(NAME, 'first')

t.test('examineArchive: nothing, one of ours, one that may be anybody’s', async (t) => {
  const dir = t.testdir({
    'good.tar.xz': 'first',
    'good.tar.xz.json': formatMetadata(GOOD),
    'gone.tar.xz.json': formatMetadata(GOOD),
    'bad.tar.xz': 'first',
    'bad.tar.xz.json': '{',
    'bad-gone.tar.xz.json': '{',
    'foreign.tar.xz': 'first',
  })
  const examine = (name: string) => examineArchive(new Catalog(dir), join(dir, name))
  t.equal(await examine('none.tar.xz'), undefined)
  t.match((await examine('bad-gone.tar.xz'))?.refusal, { code: 'BAD_RECORD' })
  const long = `${'a'.repeat(250)}.tar.xz`
  await t.rejects(examine(long), { code: 'ENAMETOOLONG' })
  t.equal(await examineBeside(new Catalog(dir), join(dir, long)), undefined)
  for (const name of ['good.tar.xz', 'gone.tar.xz']) {
    t.strictSame(await examine(name), { metadata: GOOD, refusal: undefined })
  }
  t.match((await examine('foreign.tar.xz'))?.refusal, {
    code: 'NAME_CLASH',
    message: `replace "${join(dir, 'foreign.tar.xz')}": it is there without its metadata and may not be ours`,
    hint: 'move it away, or use --force to replace it',
  })
  t.match((await examine('bad.tar.xz'))?.refusal, {
    code: 'BAD_RECORD',
    message: `replace "${join(dir, 'bad.tar.xz')}": read "bad.tar.xz.json": not JSON`,
    hint: 'copy "bad.tar.xz.json" again, move both files away, or use --force to replace the archive',
  })
  t.equal(await readValidMetadata(new Catalog(dir), join(dir, 'bad.tar.xz')), undefined)
})

t.test('examineArchive: metadata that cannot be read is not absent', async (t) => {
  const dir = t.testdir({ [NAME]: 'first' })
  await mkdir(join(dir, `${NAME}.json`))
  for (const examine of [examineArchive, examineBeside]) {
    await t.rejects(examine(new Catalog(dir), join(dir, NAME)), { code: 'BAD_FILE' })
  }
})

t.test('examineArchive: one whose metadata a killed run left is one of ours', async (t) => {
  const dir = t.testdir({ [NAME]: 'first' })
  await writeFileAtomic(await temporaryPath(dir, 'metadata'), '{')
  t.ok((await examineArchive(new Catalog(dir), join(dir, NAME)))?.refusal)
  await writeFileAtomic(await temporaryPath(dir, 'metadata'), formatMetadata(GOOD))
  t.equal(await examineArchive(new Catalog(dir), join(dir, NAME)), undefined)
})
