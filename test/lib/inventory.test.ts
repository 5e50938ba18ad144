import { join } from 'node:path'
import t from 'tap'

import { formatRecord } from '../../lib/delivery/metadata.ts'
import { inventory } from '../../lib/inventory.ts'
import type { Notice } from '../../lib/core/outcome.ts'
import { PLAIN } from '../fixtures/plain-delivery.ts'
import { SAMPLE_RECORD } from '../fixtures/sample-record.ts'

const { signal } = new AbortController()

async function list(dir: string) {
  const notices: Notice[] = []
  const notify = (notice: Notice) => notices.push(notice)
  return { outcomes: await collect(inventory({ ...PLAIN, dir, notify, signal })), notices }
}

async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const value of values) all.push(value)
  return all
}

t.test('inventory: each archive by its record, and all of them together', async (t) => {
  const dir = t.testdir({
    'a.tar.xz': 'an archive',
    'a.tar.xz.json': formatRecord(SAMPLE_RECORD),
    'b.tar.xz': 'without a record',
  })
  const { outcomes, notices } = await list(dir)
  t.match(outcomes, [
    { image: 'registry.example/tool:1.0', archive: 'a.tar.xz', archiveBytes: 10, tarBytes: 10240 },
    { image: 'b.tar.xz', archive: 'b.tar.xz', archiveBytes: 16 },
    { image: 'total', archiveBytes: 26 },
    { image: 'total, shared layers once' },
  ])
  t.ok(outcomes.every(({ result }) => result === 'listed'))
  t.strictSame(notices, [])
})

t.test('inventory: a bad record is told, and its archive listed', async (t) => {
  const dir = t.testdir({ 'a.tar.xz': 'an archive', 'a.tar.xz.json': '{}' })
  const { outcomes, notices } = await list(dir)
  t.match(outcomes, [{ image: 'a.tar.xz', archiveBytes: 10 }, {}, {}])
  t.match(notices, [{ type: 'warning', text: /a\.tar\.xz\.json/ }])
})

t.test('inventory: what cannot be read is told, and the others are listed', async (t) => {
  const dir = t.testdir({
    'a.tar.xz': 'an archive',
    'a.tar.xz.json': {},
    'directory.tar.xz': {},
    'gone.tar.xz': t.fixture('symlink', 'nowhere'),
  })
  const { outcomes, notices } = await list(dir)
  t.match(outcomes, [{ image: 'a.tar.xz', archiveBytes: 10 }, { image: 'total' }, {}])
  t.match(notices, [
    { type: 'warning', text: `read "${dir}/a.tar.xz.json": got a directory` },
    { type: 'warning', text: `read "${dir}/directory.tar.xz": got a directory` },
    { type: 'warning', text: `read "${dir}/gone.tar.xz": got a symbolic link` },
  ])
})

t.test('inventory: what is missing fails, before the totals', async (t) => {
  const listed = `${'0'.repeat(64)}  b.tar.xz\n`
  const dir = t.testdir({ 'a.tar.xz': 'an archive', SHA256SUMS: listed })
  const { outcomes } = await list(dir)
  t.match(outcomes, [
    { image: 'a.tar.xz', result: 'listed' },
    { image: 'b.tar.xz', result: 'failed', error: { code: 'NO_ARCHIVE' } },
    { image: 'total' },
    { image: 'total, shared layers once' },
  ])
  const empty = t.testdir({ SHA256SUMS: listed })
  t.match((await list(empty)).outcomes, [{ image: 'b.tar.xz', result: 'failed' }, {}, {}])
})

t.test('inventory: nothing there', async (t) => {
  const dir = t.testdir({ 'a.txt': '' })
  await t.rejects(list(dir), { code: 'NO_ARCHIVE' })
  await t.rejects(list(join(dir, 'none')), { code: 'NO_DIRECTORY' })
})
