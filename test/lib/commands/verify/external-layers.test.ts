import { join } from 'node:path'
import t from 'tap'

import { verifyExternal } from '../../../../lib/commands/verify/external-layers.ts'
import type { Notice } from '../../../../lib/core/outcome.ts'
import { readers } from '../../../fixtures/archive-writing.ts'
import { sha256 } from '../../../fixtures/digest.ts'
import { plainDelivery } from '../../../fixtures/plain-delivery.ts'
import { SAMPLE_RECORD } from '../../../fixtures/sample-record.ts'

const { signal } = new AbortController()
const GIVEN = { bases: [], threads: 1, signal, delivery: plainDelivery() }
const LAYER = { digest: sha256('a'), sizeBytes: 10, path: 'a/layer.tar', archive: 'a.tar.xz' }

t.test('proveRequired: what is not at hand, and what is there and cannot be used', async (t) => {
  const dir = t.testdir({ 'bad.tar.xz.json': '{}' })
  const notices: Notice[] = []
  const notes = await verifyExternal(
    { archive: join(dir, 'increment.tar.xz'), label: 'increment' },
    { ...SAMPLE_RECORD, requires: [LAYER, { ...LAYER, digest: sha256('b') }] },
    readers(),
    { ...GIVEN, dir, notify: (notice) => notices.push(notice) },
  )
  t.strictSame(notes, ['2 layers of "a.tar.xz" were not at hand to be checked'])
  t.match(notices, [{ type: 'warning', text: /bad\.tar\.xz\.json/ }])
})

t.test('proveRequired: nothing where nothing is required', async (t) => {
  const target = { archive: join(t.testdir(), 'a.tar.xz'), label: 'a' }
  const notify = (notice: Notice) => t.fail(JSON.stringify(notice))
  const options = { ...GIVEN, dir: t.testdir(), notify }
  t.strictSame(await verifyExternal(target, SAMPLE_RECORD, readers(), options), [])
  t.strictSame(await verifyExternal(target, undefined, readers(), options), [])
})
