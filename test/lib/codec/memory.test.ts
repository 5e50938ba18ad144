import { readFile } from 'node:fs/promises'
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

const MIB = 64
const PAGES = (MIB * 1024 ** 2) / 4096

// The shell's own account of the processes that it has waited for has their page faults.
const FAULTS = `
head -c ${MIB}M /dev/zero | zstd -q1 --long=27 >/dev/null
read -ra numbers </proc/$$/stat
echo "\${numbers[10]}"
`

// What the C library makes of a program's environment.
const SETTING = `$(ldd "$(command -v zstd)" | grep -o '/[^ ]*ld-linux[^ ]*') --list-tunables |
sed -n 's/^glibc.malloc.hugetlb: \\(0x[0-9]*\\).*/\\1/p'`

t.test('withHugePages: not each page is a fault, unless the kernel has no other', async (t) => {
  const enabled = '/sys/kernel/mm/transparent_hugepage/enabled'
  const said = await readFile(enabled, 'utf8').catch(() => '[never]')
  const faults = Number(await sh(FAULTS, { env: withHugePages({}) }))
  t.equal(faults < PAGES / 2, !said.includes('[never]'), `${faults} for ${PAGES} pages, ${said}`)
})

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
