import t from 'tap'

import { formatRows, formatHoldings, formatTable } from '../../../lib/cli/summary.ts'

const NONE = { archive: 'a.tar.xz', elapsedMs: 69_000, notes: [] }

t.test('formatTable: columns as wide as their widest cell, no blanks at the end', async (t) => {
  const table = formatTable([
    { ...NONE, image: 'nvcr.io/a:1', tarBytes: 2e9, archiveBytes: 5e8, result: 'saved' },
    { ...NONE, image: 'b:1', result: 'failed' },
    { ...NONE, image: 'c', tarBytes: 0, archiveBytes: 60, result: 'up to date' },
    { ...NONE, image: 'd', tarBytes: 10, archiveBytes: 0, elapsedMs: 5, result: 'verified' },
  ])
  t.strictSame(table.split('\n'), [
    'IMAGE           TAR  ARCHIVE  RATIO   TIME  RESULT',
    'nvcr.io/a:1  2.0 GB   500 MB   0.25  1m09s  saved',
    'b:1               -        -      -  1m09s  failed',
    'c               0 B     60 B      -  1m09s  up to date',
    'd              10 B      0 B   0.00   0.0s  verified',
  ])
})

t.test('formatTable: only the head where there is no outcome', async (t) => {
  t.equal(formatTable([]), 'IMAGE  TAR  ARCHIVE  RATIO  TIME  RESULT')
})

t.test('formatHoldings: what a delivery holds', async (t) => {
  const holding = {
    platform: 'linux/amd64',
    created: '2024-05-01T12:00:00Z',
    layers: 12,
    sharedLayers: 3,
    incrementOf: ['a.tar.xz', 'b.tar.xz'],
  }
  const line = { ...NONE, result: 'listed' } as const
  const table = formatHoldings([
    { ...line, image: 'a:1', tarBytes: 2e9, archiveBytes: 5e8, holding },
    { ...line, image: 'without metadata', archiveBytes: 60 },
  ])
  t.strictSame(table.split('\n'), [
    'IMAGE             PLATFORM     CREATED        TAR  ARCHIVE  LAYERS  SHARED  INCREMENT OF',
    'a:1               linux/amd64  2024-05-01  2.0 GB   500 MB      12       3  a.tar.xz, b.tar.xz',
    'without metadata  -            -                -     60 B       -       -',
  ])
})

t.test('formatRows: text to the left, numbers to the right', async (t) => {
  const rows = [
    ['NAME', 'SIZE', 'RESULT'],
    ['a', '5', 'ok'],
    ['a longer one', '12345', ''],
  ]
  const table = formatRows(rows, (column) => column !== 1)
  t.equal(
    table,
    ['NAME           SIZE  RESULT', 'a                 5  ok', 'a longer one  12345'].join('\n'),
  )
})

t.test('formatRows: nothing at all, and rows that are not full', async (t) => {
  t.equal(
    formatRows([], () => true),
    '',
  )
  const rows = [['A', 'B'], ['long'], ['1', '2', '3']]
  t.equal(
    formatRows(rows, () => true),
    ['A     B', 'long', '1     2  3'].join('\n'),
  )
})
