import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'

import {
  createSemaphore,
  reserveCpus,
  releaseCpus,
  type Semaphore,
} from '../../../lib/archive/cpu-slots.ts'
import { xzCoding } from '../../fixtures/archive-writing.ts'
import { sh } from '../../fixtures/run.ts'

const MIB = 1024 * 1024
const PIXZ = { compressor: { name: 'pixz', version: '1.0.7' }, coding: xzCoding(0) } as const
const ZSTD = {
  compressor: { name: 'zstd', version: '1.5.4' },
  coding: { codec: 'zstd', level: 8, windowLog: 27 },
} as const

/** Slots that tell what was taken and given, and what that leaves taken. */
function tellingSlots(): { slots: Semaphore; told: number[]; taken: () => number } {
  const told: number[] = []
  const slots: Semaphore = {
    take: async (weight) => void told.push(weight),
    give: (weight) => void (weight !== 0 && told.push(-weight)),
  }
  return { slots, told, taken: () => told.reduce((sum, weight) => sum + weight, 0) }
}

// what it is, its size, how it is compressed, the processors that it takes of four
const WEIGHTS: [string, number | undefined, typeof PIXZ | typeof ZSTD, number][] = [
  ['what lies between layers', undefined, PIXZ, 1],
  ['an empty layer', 0, PIXZ, 1],
  ['a layer of a block', MIB / 2, PIXZ, 1],
  ['a layer of a little more', MIB / 2 + 1, PIXZ, 2],
  ['a large layer', 100 * MIB, PIXZ, 4],
  ['a layer of two jobs of zstd', 100 * MIB, ZSTD, 2],
  ['a layer of four of them', 200 * MIB, ZSTD, 4],
]

for (const [what, layerBytes, how, weight] of WEIGHTS) {
  t.test(`holdSlots: ${what} takes ${weight}, and gives them back once`, async (t) => {
    const { slots, told } = tellingSlots()
    const held = await reserveCpus(slots, layerBytes, 4, how)
    t.strictSame(told, [weight])
    held.end()
    held.end()
    held.onDone(0)
    t.strictSame(told, [weight, -weight])
  })
}

// processors, blocks of half a MiB, and what is held when so many of them are done
const HELD: [number, number, number[]][] = [
  [1, 3, [1, 1, 1, 0]],
  [2, 4, [2, 2, 1, 1, 0]],
  [2, 1, [1, 0]],
  [4, 2, [2, 1, 0]],
  [4, 6, [4, 4, 3, 2, 1, 1, 0]],
]

for (const [threads, blocks, want] of HELD) {
  t.test(`holdSlots: ${blocks} blocks on ${threads} processors`, async (t) => {
    const { slots, taken } = tellingSlots()
    const held = await reserveCpus(slots, (blocks * MIB) / 2, threads, PIXZ)
    const got = [taken()]
    for (let done = 1; done <= blocks; done++) {
      held.onDone((done * MIB) / 2)
      got.push(taken())
    }
    t.strictSame(got, want)
    held.onDone(50 * MIB)
    held.onDone(MIB)
    held.end()
    t.equal(taken(), 0, 'and never more than was taken')
  })
}

t.test('holdSlots: what lies between layers holds one to its end', async (t) => {
  const { slots, told } = tellingSlots()
  const held = await reserveCpus(slots, undefined, 4, PIXZ)
  held.onDone(50 * MIB)
  held.end()
  t.strictSame(told, [1, -1])
})

t.test('holdSlots: waits until there is room', async (t) => {
  const room = Promise.withResolvers<void>()
  let hasBegun = false
  const holding = reserveCpus({ take: () => room.promise, give: () => {} }, MIB, 4, PIXZ)
  void holding.then(() => (hasBegun = true))
  await turn()
  t.notOk(hasBegun)
  room.resolve()
  await holding
})

t.test('releaseSlots: as an .xz stream goes past, all is given back', async (t) => {
  const content = Buffer.alloc(3 * MIB)
  const script = `xz -0 --block-size=${MIB / 2} | base64 -w0`
  const stream = Buffer.from(await sh(script, { input: content }), 'base64')
  const { slots, taken } = tellingSlots()
  const held = await reserveCpus(slots, content.length, 4, PIXZ)
  const chunks = Readable.from([stream.subarray(0, 700), stream.subarray(700)])
  t.ok((await buffer(releaseCpus(chunks, held))).equals(stream))
  t.equal(taken(), 0)
})

/** Asks for room, and tells of it in a list. */
function ask(slots: ReturnType<typeof createSemaphore>, weights: readonly number[]): number[] {
  const got: number[] = []
  for (const weight of weights) void slots.take(weight).then(() => got.push(weight))
  return got
}

t.test('take: as long as there is any room', async (t) => {
  const slots = createSemaphore(4)
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
  const slots = createSemaphore(2)
  const got = ask(slots, [1, 9, 1])
  await turn()
  t.strictSame(got, [1, 9])
  slots.give(9)
  await turn()
  t.strictSame(got, [1, 9, 1])
})

t.test('take: several wait, and begin in the order that they asked', async (t) => {
  const slots = createSemaphore(3)
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
  const slots = createSemaphore(1)
  await slots.take(1)
  slots.give(1)
  await slots.take(1)
  t.pass('there is room again')
})
