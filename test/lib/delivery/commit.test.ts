import { readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { commitArchive, listChecksums, removeArchive } from '../../../lib/delivery/commit.ts'
import { Directory } from '../../../lib/delivery/directory.ts'
import { isUpToDate } from '../../../lib/delivery/existing-archive.ts'
import type { ArchiveMetadata } from '../../../lib/delivery/metadata.ts'
import { formatMetadata } from '../../../lib/delivery/metadata.ts'
import { createAtomicFile, isPendingName, isTemporaryName } from '../../../lib/io/atomic-file.ts'
import { LOCK_NAME, lockDirectory } from '../../../lib/io/directory-lock.ts'
import { readMetadata } from '../../fixtures/directory-reading.ts'
import { sh } from '../../fixtures/run.ts'
import { recordOfBytes } from '../../fixtures/sample-record.ts'
import { snapshot } from '../../fixtures/workbench.ts'

const NAME = 'a.tar.xz'

const recordOf = (bytes: string): ArchiveMetadata => recordOfBytes(NAME, bytes)

/** Puts an archive of these bytes in place as a run does. */
async function commit(
  dir: string,
  bytes: string,
  spoil: (file: string) => Promise<unknown> = async () => {},
): Promise<void> {
  const file = await createAtomicFile(dir)
  try {
    await file.handle.writeFile(bytes)
    const [name = ''] = (await readdir(dir)).filter(isTemporaryName)
    await spoil(join(dir, name))
    await commitArchive(new Directory(dir), file, recordOf(bytes))
  } finally {
    await file.discard()
  }
}

t.test('commitArchive: archive, metadata and checksums fit', async (t) => {
  const dir = t.testdir({ SHA256SUMS: '# of mine\n' })
  for (const bytes of ['first', 'second']) {
    await commit(dir, bytes)
    t.strictSame((await readdir(dir)).toSorted(), ['SHA256SUMS', NAME, `${NAME}.json`])
    t.equal(await readFile(join(dir, NAME), 'utf8'), bytes)
    t.strictSame(await readMetadata(join(dir, NAME)), recordOf(bytes))
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

// what is wrong, how it is made, the error
const FAULTS: [string, (dir: string, file: string) => Promise<unknown>, RegExp][] = [
  ['the new archive is gone', (_, file) => rm(file), /^ENOENT$/],
  [
    'the old archive is immutable',
    (dir) => sh(`chattr +i ${NAME}`, { cwd: dir }),
    /^EPERM|EACCES$/,
  ],
  ['the lock was lost', (dir) => writeFile(join(dir, LOCK_NAME), '{}'), /^BUSY$/],
]

for (const [what, spoil, code] of FAULTS) {
  t.test(`commitArchive: leaves all three files as they were where ${what}`, async (t) => {
    const dir = t.testdir()
    const unlock = await lockDirectory(dir, 'test')
    await commit(dir, 'first')
    const { [LOCK_NAME]: _, ...before } = await snapshot(dir)
    await t.rejects(
      commit(dir, 'second', (file) => spoil(dir, file)),
      { code },
    )
    await sh(`chattr -i ${NAME}; rm -f ${LOCK_NAME}`, { cwd: dir })
    await unlock()
    t.strictSame(await snapshot(dir), before)
  })
}

t.test('commitArchive: an archive in place without its metadata leaves that pending', async (t) => {
  const dir = t.testdir({ [`${NAME}.json`]: { in: 'the way' } })
  await t.rejects(commit(dir, 'first'), { code: /^(EISDIR|ENOTEMPTY|EEXIST)$/ })
  const names = await readdir(dir)
  t.ok(names.includes(NAME))
  const [pending = '', ...more] = names.filter(isPendingName)
  t.strictSame([more, names.filter(isTemporaryName)], [[], [pending]])
  t.equal(await readFile(join(dir, pending), 'utf8'), formatMetadata(recordOf('first')))
})

t.test('removeArchive: takes archive, metadata and checksums away, and says so', async (t) => {
  const dir = t.testdir({ SHA256SUMS: '# of mine\n', 'b.tar.xz': 'another' })
  await commit(dir, 'first')
  t.equal(await removeArchive(new Directory(dir), join(dir, NAME)), true)
  t.strictSame((await readdir(dir)).toSorted(), ['SHA256SUMS', 'b.tar.xz'])
  t.equal(await readFile(join(dir, 'SHA256SUMS'), 'utf8'), '# of mine\n')
  t.equal(await removeArchive(new Directory(dir), join(dir, NAME)), false)
})

t.test('removeArchive: one without metadata', async (t) => {
  const dir = t.testdir({ [NAME]: 'plain' })
  t.equal(await removeArchive(new Directory(dir), join(dir, NAME)), true)
  t.strictSame(await readdir(dir), [])
})

t.test('removeArchive: leaves all as it was where it fails', async (t) => {
  const dir = t.testdir()
  await commit(dir, 'first')
  await sh(`chattr +i ${NAME}`, { cwd: dir })
  const before = await snapshot(dir)
  await t.rejects(removeArchive(new Directory(dir), join(dir, NAME)), { code: 'EPERM' })
  await sh(`chattr -i ${NAME}`, { cwd: dir })
  t.strictSame(await snapshot(dir), before)
})

t.test('removeArchive: metadata alone stays, for what was delivered', async (t) => {
  const dir = t.testdir({ [`${NAME}.json`]: '{}' })
  t.equal(await removeArchive(new Directory(dir), join(dir, NAME)), false)
  t.strictSame(await readdir(dir), [`${NAME}.json`])
})

t.test('listChecksums: writes what is missing, and nothing where all is there', async (t) => {
  const dir = t.testdir()
  await commit(dir, 'first')
  const sums = join(dir, 'SHA256SUMS')
  const want = await readFile(sums, 'utf8')
  const before = await stat(sums)
  await listChecksums(new Directory(dir), join(dir, NAME), recordOf('first'))
  t.equal((await stat(sums)).ino, before.ino)
  await rm(sums)
  await listChecksums(new Directory(dir), join(dir, NAME), recordOf('first'))
  t.equal(await readFile(sums, 'utf8'), want)
})

for (const [what, script] of [
  ['has another name', 'ln SHA256SUMS ../other'],
  ["is another user's", 'chown 12345 SHA256SUMS'],
] as const) {
  t.test(`listChecksums: of a SHA256SUMS that ${what}, only checksums stay`, async (t) => {
    const secret = `root:secret\n${'0'.repeat(64)}  other.txt\n`
    const dir = join(t.testdir({ here: { SHA256SUMS: secret } }), 'here')
    await sh(script, { cwd: dir })
    await commit(dir, 'first')
    const text = await readFile(join(dir, 'SHA256SUMS'), 'utf8')
    t.notMatch(text, 'secret')
    t.equal(text.split('\n').length, 4, 'with the end of the last line')
    t.match(text, /^0{64} {2}other\.txt\n/)
  })
}

type Wanted = Omit<Parameters<typeof isUpToDate>[2], 'notify' | 'signal'>
const { signal } = new AbortController()

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
    const options = { ...wanted, notify, signal }
    t.equal(
      await isUpToDate(new Directory(dir), { archive, metadata: recordOf('archive') }, options),
      want,
    )
  })
}

t.test('isUpToDate: no for one that SHA256SUMS lacks, and that is another', async (t) => {
  const dir = t.testdir()
  await commit(dir, 'archive')
  const archive = join(dir, NAME)
  await writeFile(archive, 'another'.slice(0, 'archive'.length))
  await sh(`sed -i '/  ${NAME}$/d' SHA256SUMS`, { cwd: dir })
  const told: unknown[] = []
  const notify = (notice: unknown): void => void told.push(notice)
  const wanted = { force: false, coding: { codec: 'xz', level: 6 } as const, notify, signal }
  t.equal(
    await isUpToDate(new Directory(dir), { archive, metadata: recordOf('archive') }, wanted),
    false,
  )
  const text = `"${archive}" is not up to date: it is not what its metadata tells`
  t.strictSame(told, [{ type: 'warning', text }])
})

// what of it SHA256SUMS has otherwise, and whether it is up to date
const LISTED: [string, string, boolean][] = [
  ['the archive', `s/^.*  ${NAME}$/${'0'.repeat(64)}  ${NAME}/`, false],
  ['the metadata', `s/^.*  ${NAME}.json$/${'0'.repeat(64)}  ${NAME}.json/`, false],
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
    const options = { ...wanted, notify, signal }
    t.equal(
      await isUpToDate(new Directory(dir), { archive, metadata: recordOf('archive') }, options),
      want,
    )
    const text = `"${archive}" is not up to date: SHA256SUMS has another sha256 for it or its metadata`
    t.strictSame(told, want ? [] : [{ type: 'warning', text }])
  })
}
