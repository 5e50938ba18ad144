import t from 'tap'

import { formatVersion } from '../../../lib/cli/version.ts'

t.test('formatVersion: version, commit, Node and platform', async (t) => {
  const want = /^\d+\.\d+\.\d+ \((commit [0-9a-f]{12}(-dirty)?, )?node v[\d.]+, linux-\w+\)$/
  t.match(await formatVersion(), want)
})

t.test('formatVersion: no commit where there is no git', async (t) => {
  const { PATH } = process.env
  t.teardown(() => (process.env['PATH'] = PATH))
  process.env['PATH'] = t.testdir({})
  t.match(await formatVersion(), /^\d+\.\d+\.\d+ \(node v/)
})
