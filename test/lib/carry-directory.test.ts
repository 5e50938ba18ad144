import { readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import type { ArchiveRecord } from '../../lib/archive-record.ts'
import { formatRecord } from '../../lib/archive-record.ts'
import { createAtomicFile } from '../../lib/atomic-file.ts'
import {
  checkDirectory,
  commitArchive,
  isUpToDate,
  listArchives,
  listChecksums,
  openForWriting,
  readChecksums,
  readRecord,
  removeArchive,
} from '../../lib/carry-directory.ts'
import { hexOf, sha256 } from '../fixtures/digest.ts'
import { sh } from '../fixtures/run.ts'
import { SAMPLE_RECORD } from '../fixtures/sample-record.ts'

const NAME = 'a.tar.xz'

/** The record of an archive of these bytes. */
function recordOf(bytes: string): ArchiveRecord {
  const archive = {
    ...SAMPLE_RECORD.archive,
    sizeBytes: bytes.length,
    sha256: hexOf(sha256(bytes)),
  }
  const segments = SAMPLE_RECORD.segments.map((segment) => ({
    ...segment,
    sizeBytes: bytes.length,
    sha256: archive.sha256,
  }))
  return { ...SAMPLE_RECORD, archive, segments }
}

/** Puts an archive of these bytes in place as a run does. */
async function commit(dir: string, bytes: string, fail?: Error): Promise<void> {
  const file = await createAtomicFile(dir)
  try {
    await file.handle.writeFile(bytes)
    await file.finish()
    const broken = { ...file, commit: () => Promise.reject(fail) }
    await commitArchive(join(dir, NAME), fail ? broken : file, recordOf(bytes))
  } finally {
    await file.discard()
  }
}

t.test('commitArchive: archive, record and checksums fit', async (t) => {
  const dir = t.testdir({ SHA256SUMS: '# of mine\n' })
  for (const bytes of ['first', 'second']) {
    await commit(dir, bytes)
    t.strictSame((await readdir(dir)).toSorted(), ['SHA256SUMS', NAME, `${NAME}.json`])
    t.equal(await readFile(join(dir, NAME), 'utf8'), bytes)
    t.strictSame(await readRecord(join(dir, NAME)), recordOf(bytes))
    t.equal(
      await sh('sha256sum -c SHA256SUMS 2>/dev/null', { cwd: dir }),
      `${NAME}: OK\n${NAME}.json: OK`,
    )
    t.match(await readFile(join(dir, 'SHA256SUMS'), 'utf8'), /^# of mine\n/)
  }
})

t.test('commitArchive: what others wrote into SHA256SUMS stays, in any encoding', async (t) => {
  const foreign = Buffer.from(`${'0'.repeat(64)}  caf\xe9.txt\n`, 'latin1')
  const dir = t.testdir({ SHA256SUMS: foreign })
  await commit(dir, 'first')
  const written = await readFile(join(dir, 'SHA256SUMS'))
  t.ok(written.subarray(0, foreign.length).equals(foreign))
})

t.test('openForWriting: what is wrong with SHA256SUMS is told before all work', async (t) => {
  const dir = t.testdir({ SHA256SUMS: {} })
  await t.rejects(openForWriting(dir), { code: 'EISDIR', path: join(dir, 'SHA256SUMS') })
})

t.test('commitArchive: a crash leaves no archive with the record of another', async (t) => {
  const dir = t.testdir()
  await commit(dir, 'first')
  await t.rejects(commit(dir, 'second', new Error('crash')), { message: 'crash' })
  t.strictSame((await readdir(dir)).toSorted(), ['SHA256SUMS', NAME])
  t.equal(await readFile(join(dir, NAME), 'utf8'), 'first')
  t.equal((await readChecksums(dir)).size, 0)
})

t.test('removeArchive: takes archive, record and checksums away, and says so', async (t) => {
  const dir = t.testdir({ SHA256SUMS: '# of mine\n', 'b.tar.xz': 'another' })
  await commit(dir, 'first')
  t.equal(await removeArchive(join(dir, NAME)), true)
  t.strictSame((await readdir(dir)).toSorted(), ['SHA256SUMS', 'b.tar.xz'])
  t.equal(await readFile(join(dir, 'SHA256SUMS'), 'utf8'), '# of mine\n')
  t.equal(await removeArchive(join(dir, NAME)), false)
})

t.test('removeArchive: one without a record', async (t) => {
  const dir = t.testdir({ [NAME]: 'plain' })
  t.equal(await removeArchive(join(dir, NAME)), true)
  t.strictSame(await readdir(dir), [])
})

t.test('removeArchive: the record goes last', async (t) => {
  const dir = t.testdir({ [NAME]: { in: 'the way' }, [`${NAME}.json`]: '{}' })
  await t.rejects(removeArchive(join(dir, NAME)))
  t.strictSame((await readdir(dir)).toSorted(), [NAME, `${NAME}.json`])
})

t.test('removeArchive: a record alone stays, for what was delivered', async (t) => {
  const dir = t.testdir({ [`${NAME}.json`]: '{}' })
  t.equal(await removeArchive(join(dir, NAME)), false)
  t.strictSame(await readdir(dir), [`${NAME}.json`])
})

t.test('listChecksums: writes what is missing, and nothing where all is there', async (t) => {
  const dir = t.testdir()
  await commit(dir, 'first')
  const sums = join(dir, 'SHA256SUMS')
  const want = await readFile(sums, 'utf8')
  const before = await stat(sums)
  await listChecksums(join(dir, NAME), recordOf('first'))
  t.equal((await stat(sums)).ino, before.ino)
  await rm(sums)
  await listChecksums(join(dir, NAME), recordOf('first'))
  t.equal(await readFile(sums, 'utf8'), want)
})

t.test('openForWriting: one run at a time, what a killed one left is removed', async (t) => {
  const dir = t.testdir()
  const left = await createAtomicFile(dir)
  await left.handle.close()
  const close = await openForWriting(dir)
  t.strictSame(await readdir(dir), [])
  await t.rejects(openForWriting(dir), { code: 'BUSY' })
  await close()
  await (
    await openForWriting(dir)
  )()
})

t.test(
  'openForWriting: a run that is refused removes nothing of the one that writes',
  async (t) => {
    const dir = t.testdir()
    const close = await openForWriting(dir)
    const file = await createAtomicFile(dir)
    await t.rejects(openForWriting(dir), { code: 'BUSY' })
    t.equal((await readdir(dir)).length, 1)
    await file.discard()
    await close()
  },
)

t.test('openForWriting: where nothing can be written, it tells so, and lets go', async (t) => {
  const code = /^(?:EACCES|EPERM|EROFS)$/
  for (let n = 0; n < 2; n++) await t.rejects(openForWriting('/sys'), { code })
})

t.test('checkDirectory, openForWriting: want a directory', async (t) => {
  const dir = t.testdir({ file: '' })
  await t.resolves(checkDirectory(dir))
  for (const name of ['none', 'file']) {
    const path = join(dir, name)
    const want = { code: 'NO_DIRECTORY', message: `open "${path}": there is no such directory` }
    await t.rejects(checkDirectory(path), want)
    await t.rejects(openForWriting(path), want)
  }
})

t.test('listArchives: archives only, sorted', async (t) => {
  const names = ['b.tar.xz', 'a.tar.xz', 'a.tar.xz.json', '.hidden.tar.xz', 'c.tar', 'SHA256SUMS']
  const dir = t.testdir(Object.fromEntries(names.map((name) => [name, ''])))
  t.strictSame(await listArchives(dir), ['a.tar.xz', 'b.tar.xz'])
})

t.test('readRecord: none, a good one, a bad one, one that cannot be read', async (t) => {
  const dir = t.testdir({
    'good.tar.xz.json': formatRecord(SAMPLE_RECORD),
    'bad.tar.xz.json': '{}',
    'dir.tar.xz.json': {},
  })
  t.equal(await readRecord(join(dir, 'none.tar.xz')), undefined)
  t.strictSame(await readRecord(join(dir, 'good.tar.xz')), SAMPLE_RECORD)
  await t.rejects(readRecord(join(dir, 'bad.tar.xz')), {
    code: 'BAD_RECORD',
    message: 'read "bad.tar.xz.json": ',
  })
  await t.rejects(readRecord(join(dir, 'dir.tar.xz')), { code: 'EISDIR' })
})

t.test('readChecksums: none where there is no file', async (t) => {
  t.strictSame(await readChecksums(t.testdir()), new Map())
})

type Wanted = Omit<Parameters<typeof isUpToDate>[2], 'notify'>

// what, the archive's bytes, what is wanted, whether it is up to date
const WANTED: [string, string | undefined, Wanted, boolean][] = [
  ['as it was asked for', 'archive', { force: false, coding: { codec: 'xz', level: 6 } }, true],
  ['forced', 'archive', { force: true, coding: { codec: 'xz', level: 6 } }, false],
  ['of another level', 'archive', { force: false, coding: { codec: 'xz', level: 9 } }, false],
  ['of another size', 'archive+', { force: false, coding: { codec: 'xz', level: 6 } }, false],
  ['gone', undefined, { force: false, coding: { codec: 'xz', level: 6 } }, false],
]

for (const [what, bytes, wanted, want] of WANTED) {
  t.test(`isUpToDate: ${want ? 'yes' : 'no'} for one that is ${what}`, async (t) => {
    const dir = t.testdir()
    await commit(dir, 'archive')
    const archive = join(dir, NAME)
    await (bytes === undefined ? rm(archive) : writeFile(archive, bytes))
    const notify = (): void => void t.fail('there is nothing to tell')
    t.equal(await isUpToDate(archive, recordOf('archive'), { ...wanted, notify }), want)
  })
}

// what of it SHA256SUMS has otherwise, and whether it is up to date
const LISTED: [string, string, boolean][] = [
  ['the archive', `s/^.*  ${NAME}$/${'0'.repeat(64)}  ${NAME}/`, false],
  ['the record', `s/^.*  ${NAME}.json$/${'0'.repeat(64)}  ${NAME}.json/`, false],
  ['nothing, but lacks the archive', `/  ${NAME}$/d`, true],
]

for (const [what, change, want] of LISTED) {
  t.test(`isUpToDate: ${want ? 'yes' : 'no'} where SHA256SUMS has ${what}`, async (t) => {
    const dir = t.testdir()
    await commit(dir, 'archive')
    await sh(`sed -i '${change}' SHA256SUMS`, { cwd: dir })
    const told: unknown[] = []
    const wanted = { force: false, coding: { codec: 'xz', level: 6 } as const }
    const notify = (notice: unknown): void => void told.push(notice)
    const archive = join(dir, NAME)
    t.equal(await isUpToDate(archive, recordOf('archive'), { ...wanted, notify }), want)
    const text = `"${archive}" is not up to date: SHA256SUMS has another sha256 for it or its record`
    t.strictSame(told, want ? [] : [{ type: 'warning', text }])
  })
}
