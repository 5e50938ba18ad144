import { mkdir, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import t, { type Test } from 'tap'

import { openForWriting } from '../../../lib/commands/writing-run.ts'
import type { Notice } from '../../../lib/core/outcome.ts'
import { placeMetadata } from '../../../lib/delivery/commit.ts'
import { Directory } from '../../../lib/delivery/directory.ts'
import { formatMetadata, type ArchiveMetadata } from '../../../lib/delivery/metadata.ts'
import { createAtomicFile, isTemporaryName, temporaryPath } from '../../../lib/io/atomic-file.ts'
import { hexOf, sha256 } from '../../fixtures/digest.ts'
import { sh } from '../../fixtures/run.ts'
import { recordOfBytes } from '../../fixtures/sample-record.ts'
import { snapshot } from '../../fixtures/workbench.ts'

const NAME = 'a.tar.xz'

/** Opens and closes a directory as a run does; gives what it was told. */
async function openOnce(dir: string, signal = new AbortController().signal): Promise<Notice[]> {
  const told: Notice[] = []
  const notify = (notice: Notice): void => void told.push(notice)
  await (
    await openForWriting(new Directory(dir), 'test', { notify, signal })
  )()
  return told
}

/** A directory with an archive of these bytes, as a run leaves it. */
async function deliver(t: Test, bytes: string): Promise<string> {
  const dir = t.testdir({ [NAME]: bytes })
  await placeMetadata(new Directory(dir), recordOfBytes(NAME, bytes))
  return dir
}

async function leavePending(dir: string, metadata: ArchiveMetadata | string): Promise<void> {
  const text = typeof metadata === 'string' ? metadata : formatMetadata(metadata)
  await writeFile(await temporaryPath(dir, 'metadata'), text)
}

t.test('openForWriting: one run at a time, what a killed one left is removed', async (t) => {
  const dir = t.testdir({ [`.dgx-offline-images-${'0'.repeat(16)}.tmp`]: 'of an older tool' })
  const left = await createAtomicFile(dir)
  await left.handle.close()
  const context = { notify: () => {}, signal: new AbortController().signal }
  const close = await openForWriting(new Directory(dir), 'test', context)
  t.strictSame((await readdir(dir)).filter(isTemporaryName), [])
  const file = await createAtomicFile(dir)
  await t.rejects(openForWriting(new Directory(dir), 'test', context), { code: 'BUSY' })
  t.equal((await readdir(dir)).filter(isTemporaryName).length, 1, 'the refused one removed nothing')
  await file.discard()
  await close()
  t.strictSame(await readdir(dir), [])
  await openOnce(dir)
})

t.test('openForWriting: what is wrong is told before all work, and it lets go', async (t) => {
  const dir = t.testdir({ SHA256SUMS: {}, file: '' })
  const want = { code: 'BAD_FILE', message: `read "${join(dir, 'SHA256SUMS')}": got a directory` }
  for (let n = 0; n < 2; n++) await t.rejects(openOnce(dir), want)
  for (const name of ['none', 'file']) {
    await t.rejects(openOnce(join(dir, name)), { code: 'NO_DIRECTORY' })
  }
})

t.test('openForWriting: finishes an archive whose metadata a killed run left', async (t) => {
  for (const before of ['first', undefined]) {
    const dir = before === undefined ? t.testdir({}) : await deliver(t, before)
    await writeFile(join(dir, NAME), 'next!')
    await leavePending(dir, recordOfBytes(NAME, 'next!'))
    t.match(await openOnce(dir), [
      {
        type: 'remark',
        text: `checking "${NAME}": a run was ended before it wrote the metadata of an archive`,
      },
    ])
    t.strictSame((await readdir(dir)).toSorted(), ['SHA256SUMS', NAME, `${NAME}.json`])
    const metadata = await readFile(join(dir, `${NAME}.json`), 'utf8')
    t.equal(metadata, formatMetadata(recordOfBytes(NAME, 'next!')))
    await t.resolves(sh('sha256sum --strict -c SHA256SUMS', { cwd: dir }))
  }
})

t.test('openForWriting: lists what a killed run put in place and did not list', async (t) => {
  const dir = await deliver(t, 'first')
  const sums = await readFile(join(dir, 'SHA256SUMS'), 'utf8')
  await writeFile(join(dir, 'SHA256SUMS'), `${hexOf(sha256('old'))}  ${NAME}\n`)
  await leavePending(dir, recordOfBytes(NAME, 'first'))
  t.equal((await openOnce(dir)).length, 1)
  t.equal(await readFile(join(dir, 'SHA256SUMS'), 'utf8'), sums)
})

t.test('openForWriting: puts back what a removal that was killed had begun with', async (t) => {
  const dir = await deliver(t, 'first')
  await rm(join(dir, `${NAME}.json`))
  await leavePending(dir, recordOfBytes(NAME, 'first'))
  await openOnce(dir)
  t.strictSame((await readdir(dir)).toSorted(), ['SHA256SUMS', NAME, `${NAME}.json`])
})

// what it is, the pending metadata, whether the archive has to be read to know
const OF_NO_USE: [string, ArchiveMetadata | string, boolean][] = [
  ['of an archive of another size', recordOfBytes(NAME, 'larger'), false],
  ['of another archive of that size', recordOfBytes(NAME, 'other'), true],
  ['of an archive that is not there', recordOfBytes('b.tar.xz', 'first'), false],
  ['of no archive', recordOfBytes('SHA256SUMS', 'first'), false],
  ['half written', formatMetadata(recordOfBytes(NAME, 'first')).slice(0, 100), false],
  ['what lies there already', recordOfBytes(NAME, 'first'), false],
]

for (const [what, pending, isRead] of OF_NO_USE) {
  t.test(`openForWriting: pending metadata that is ${what} is removed`, async (t) => {
    const dir = await deliver(t, 'first')
    const before = await snapshot(dir)
    await leavePending(dir, pending)
    t.equal((await openOnce(dir)).length, isRead ? 1 : 0)
    t.strictSame(await snapshot(dir), before)
  })
}

t.test('openForWriting: drops lines of what is not there any more, saying so', async (t) => {
  const dir = await deliver(t, 'first')
  const sums = await readFile(join(dir, 'SHA256SUMS'), 'utf8')
  const lines = (count: number): string =>
    Array.from({ length: count }, (_, n) => `${'0'.repeat(64)}  ${n}\n`).join('')
  await writeFile(join(dir, 'SHA256SUMS'), lines(1) + sums)
  const text = '"0" is not there any more: its line in SHA256SUMS is dropped'
  t.strictSame(await openOnce(dir), [{ type: 'warning', text }])
  t.equal(await readFile(join(dir, 'SHA256SUMS'), 'utf8'), sums)
  await writeFile(join(dir, 'SHA256SUMS'), lines(13))
  t.equal((await openOnce(dir)).length, 13, 'each is named: its sum is gone')
  t.notOk((await readdir(dir)).includes('SHA256SUMS'))
})

t.test(
  'openForWriting: lines are dropped by the bytes of their names, in doubt none',
  async (t) => {
    const dir = await deliver(t, 'first')
    const sums = await readFile(join(dir, 'SHA256SUMS'), 'latin1')
    const line = (name: string): string => `${'0'.repeat(64)}  ${name}\n`
    await writeFile(Buffer.from(`${dir}/caf\u00e8`, 'latin1'), '')
    await writeFile(join(dir, 'a\rb'), '')
    await symlink('loop', join(dir, 'loop'))
    const kept = `${line('caf\u00e8')}\\${line('a\\rb')}${line('loop/a')}${sums}`
    await writeFile(join(dir, 'SHA256SUMS'), line('caf\u00e9') + kept, 'latin1')
    t.match(await openOnce(dir), [
      { text: /is dropped$/ },
      { text: /^look for "loop\/a", .*: ELOOP|loop/ },
    ])
    t.equal(await readFile(join(dir, 'SHA256SUMS'), 'latin1'), kept)
  },
)

t.test('openForWriting: tells of metadata that lies there without its archive', async (t) => {
  const dir = await deliver(t, 'first')
  await rm(join(dir, NAME))
  t.match(await openOnce(dir), [{ text: /is dropped$/ }, { text: /without its archive: --forget/ }])
})

t.test('openForWriting: pending metadata stays where reading its archive is ended', async (t) => {
  const dir = t.testdir({ [NAME]: 'first' })
  await leavePending(dir, recordOfBytes(NAME, 'first'))
  await t.rejects(openOnce(dir, AbortSignal.abort()), { code: 'INTERRUPTED' })
  t.equal((await readdir(dir)).filter(isTemporaryName).length, 1)
  await openOnce(dir)
  t.strictSame((await readdir(dir)).toSorted(), ['SHA256SUMS', NAME, `${NAME}.json`])
})

t.test('openForWriting: pending metadata that cannot be read is not thrown away', async (t) => {
  const dir = await deliver(t, 'first')
  const pending = await temporaryPath(dir, 'metadata')
  await mkdir(pending)
  await t.rejects(openOnce(dir), { code: 'EISDIR' })
  t.ok((await readdir(dir)).includes(basename(pending)))
})
