import t from 'tap'

import { formatPlatform } from '../../../lib/image/platform.ts'

t.test('formatPlatform: with the variant, if there is one', async (t) => {
  t.equal(formatPlatform({ os: 'linux', architecture: 'arm', variant: 'v7' }), 'linux/arm/v7')
  t.equal(formatPlatform({ os: 'linux', architecture: 'amd64', variant: '' }), 'linux/amd64')
  t.equal(formatPlatform({ os: 'linux', architecture: 'amd64' }), 'linux/amd64')
})
