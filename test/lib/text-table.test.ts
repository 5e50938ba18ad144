import t from 'tap'

import { formatRows } from '../../lib/text-table.ts'

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
