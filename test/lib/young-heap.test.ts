import { execFileSync } from 'node:child_process'
import t from 'tap'

const MODULE = new URL('../../lib/young-heap.ts', import.meta.url).href

// Objects that live for a while make the runtime want more room for new ones.
const WORK = `
import { getHeapSpaceStatistics } from 'node:v8'
const kept = []
for (let n = 0; n < 3e6; n++) kept[n % 3e5] = { n }
console.log(getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space').space_size)
`

function youngBytes(before: string): number {
  const args = ['--input-type=module', '--eval', `${before}\n${WORK}`]
  return Number(execFileSync(process.execPath, args, { encoding: 'utf8' }))
}

t.test('keepYoungHeapSmall: the space for new objects does not grow', async (t) => {
  const small = youngBytes(`import { keepYoungHeapSmall } from '${MODULE}'; keepYoungHeapSmall()`)
  const usual = youngBytes('')
  t.ok(small <= 4 * 1024 ** 2, `${small} bytes`)
  t.ok(usual > small, `${usual} bytes without it`)
})
