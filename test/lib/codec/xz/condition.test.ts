import t from 'tap'

import { createCondition } from '../../../../lib/codec/xz/condition.ts'

t.test('until: it holds already, or after a change', async (t) => {
  const turns = createCondition()
  let count = 1
  const order: string[] = []
  await turns.until(() => count === 1)
  const two = turns.until(() => count >= 2).then(() => order.push('two'))
  const three = turns.until(() => count >= 3).then(() => order.push('three'))
  turns.changed()
  count = 2
  turns.changed()
  await two
  t.strictSame(order, ['two'])
  count = 3
  turns.changed()
  await three
  t.strictSame(order, ['two', 'three'])
})

t.test('end: whoever waits fails, and whoever comes later', async (t) => {
  const turns = createCondition()
  const waiting = turns.until(() => false)
  turns.end(new Error('over'))
  await t.rejects(waiting, { message: 'over' })
  await t.rejects(
    turns.until(() => true),
    { message: 'over' },
  )
})
