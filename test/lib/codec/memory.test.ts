import t from 'tap'

import { withHugePages } from '../../../lib/codec/memory.ts'
import { sh } from '../../fixtures/run.ts'

// threads, free GiB, how many fit with 1 GiB for each
const CASES: [number | undefined, number, number][] = [
  [undefined, 1000, 6],
  [2, 1000, 2],
  [8, 16, 4],
  [8, 2, 1],
  [1, 0, 1],
]

for (const [threads, free, want] of CASES) {
  t.test(`fitThreads: ${threads ?? 'all 6'} threads, ${free} GiB free`, async (t) => {
    const { fitThreads } = await t.mockImport<typeof import('../../../lib/codec/memory.ts')>(
      '../../../lib/codec/memory.ts',
      { 'node:os': { availableParallelism: () => 6 } },
    )
    t.intercept(process, 'availableMemory', { value: () => free * 2 ** 30 })
    t.equal(fitThreads(threads, 2 ** 30), want)
  })
}

// What the C library makes of a program's environment.
const SETTING = `$(ldd "$(command -v zstd)" | grep -o '/[^ ]*ld-linux[^ ]*') --list-tunables |
sed -n 's/^glibc.malloc.hugetlb: \\(0x[0-9]*\\).*/\\1/p'`

t.test('withHugePages: the C library is told', async (t) => {
  t.equal(await sh(SETTING, { env: withHugePages({}) }), '0x1')
})

t.test('withHugePages: another value of one’s own holds', async (t) => {
  const own = { GLIBC_TUNABLES: 'glibc.malloc.hugetlb=0' }
  t.equal(await sh(SETTING, { env: withHugePages(own) }), '0x0')
})

t.test('withHugePages: what else is set stays', async (t) => {
  const env = withHugePages({ PATH: '/bin', GLIBC_TUNABLES: 'glibc.malloc.check=1' })
  t.strictSame(env, {
    PATH: '/bin',
    GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1:glibc.malloc.check=1',
  })
})
