import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'

import { createSlots } from '../../lib/slots.ts'

/** Asks for room, and tells of it in a list. */
function ask(slots: ReturnType<typeof createSlots>, weights: readonly number[]): number[] {
  const got: number[] = []
  for (const weight of weights) void slots.take(weight).then(() => got.push(weight))
  return got
}

t.test('take: as long as there is any room', async (t) => {
  const slots = createSlots(4)
  const got = ask(slots, [2, 1, 3, 1])
  await turn()
  t.strictSame(got, [2, 1, 3], 'the last that begins takes more than there is')
  slots.give(2)
  await turn()
  t.strictSame(got, [2, 1, 3], 'all that there is, is taken still')
  slots.give(1)
  await turn()
  t.strictSame(got, [2, 1, 3, 1])
})

t.test('take: what is too heavy for all of it begins where there is some', async (t) => {
  const slots = createSlots(2)
  const got = ask(slots, [1, 9, 1])
  await turn()
  t.strictSame(got, [1, 9])
  slots.give(9)
  await turn()
  t.strictSame(got, [1, 9, 1])
})

t.test('take: several wait, and begin in the order that they asked', async (t) => {
  const slots = createSlots(3)
  const got = ask(slots, [3, 2, 1, 3])
  await turn()
  t.strictSame(got, [3])
  slots.give(1)
  await turn()
  t.strictSame(got, [3, 2], 'nobody passes another')
  slots.give(2)
  await turn()
  t.strictSame(got, [3, 2, 1])
  slots.give(2)
  await turn()
  t.strictSame(got, [3, 2, 1, 3])
})

t.test('give: without anybody who waits', async (t) => {
  const slots = createSlots(1)
  await slots.take(1)
  slots.give(1)
  await slots.take(1)
  t.pass('there is room again')
})
