import { readFile } from 'node:fs/promises'
import t from 'tap'

import { withHugePages } from '../../lib/huge-pages.ts'
import { sh } from '../fixtures/run.ts'

const ENABLED = '/sys/kernel/mm/transparent_hugepage/enabled'

// The shell's own account of the processes that it has waited for has their page faults.
const FAULTS = `
head -c 64M /dev/zero | zstd -q1 --long=27 >/dev/null
read -ra numbers </proc/$$/stat
echo "\${numbers[10]}"
`

t.test('withHugePages: a compressor has few page faults, where the kernel lets it', async (t) => {
  const usual = Number(await sh(FAULTS))
  const few = Number(await sh(FAULTS, { env: withHugePages() }))
  const isForThoseThatAsk = (await readFile(ENABLED, 'utf8')).includes('[madvise]')
  t.equal(few < usual / 2, isForThoseThatAsk, `${few} of ${usual}`)
})

t.test('withHugePages: what else is set stays, and goes first', async (t) => {
  const env = { PATH: '/bin', GLIBC_TUNABLES: 'glibc.malloc.hugetlb=0' }
  t.strictSame(withHugePages(env), {
    PATH: '/bin',
    GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1:glibc.malloc.hugetlb=0',
  })
  t.strictSame(withHugePages({}), { GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1' })
})
