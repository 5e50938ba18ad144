import { readFile } from 'node:fs/promises'
import t from 'tap'

import { withHugePages } from '../../lib/huge-pages.ts'
import { sh } from '../fixtures/run.ts'

// The shell's own account of the processes that it has waited for has their page faults.
const FAULTS = `
head -c 64M /dev/zero | zstd -q1 --long=27 >/dev/null
read -ra numbers </proc/$$/stat
echo "\${numbers[10]}"
`

// What this C library makes of a program's environment.
const SETTING = `$(ldd "$(command -v zstd)" | grep -o '/[^ ]*ld-linux[^ ]*') --list-tunables |
sed -n 's/^glibc.malloc.hugetlb: \\(0x[0-9]*\\).*/\\1/p'`

async function whyNot(): Promise<string | false> {
  const enabled = await readFile('/sys/kernel/mm/transparent_hugepage/enabled', 'utf8').catch(
    () => 'not there',
  )
  if (!enabled.includes('[madvise]')) return `huge pages: ${enabled.trim()}`
  return (await sh(SETTING)) === '' && 'a C library without this setting'
}

t.test('withHugePages: a program has few page faults', { skip: await whyNot() }, async (t) => {
  const env = { GLIBC_TUNABLES: undefined }
  const usual = Number(await sh(FAULTS, { env }))
  const few = Number(await sh(FAULTS, { env: withHugePages(env) }))
  t.ok(few < usual / 2, `${few} of ${usual}`)
})

t.test('withHugePages: what else is set stays', async (t) => {
  const env = withHugePages({ PATH: '/bin', GLIBC_TUNABLES: 'glibc.malloc.check=1' })
  t.strictSame(env, {
    PATH: '/bin',
    GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1:glibc.malloc.check=1',
  })
})

t.test('withHugePages: another value of one’s own holds', { skip: await whyNot() }, async (t) => {
  t.equal(await sh(SETTING, { env: withHugePages({}) }), '0x1')
  const own = { GLIBC_TUNABLES: 'glibc.malloc.hugetlb=0' }
  t.equal(await sh(SETTING, { env: withHugePages(own) }), '0x0')
})
