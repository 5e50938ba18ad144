import t from 'tap'

import { archiveSizes, savings, sum } from '../../../lib/commands/sizes.ts'
import { sha256 } from '../../fixtures/digest.ts'
import { SAMPLE_RECORD } from '../../fixtures/sample-record.ts'

const LAYERS = [5, 7].map((sizeBytes) => ({ digest: sha256(`${sizeBytes}`), sizeBytes }))
const REQUIRED = LAYERS.map((layer) => ({ ...layer, path: 'a/layer.tar', archive: 'a.tar.xz' }))

t.test('archiveSizes: of tar and archive', async (t) => {
  t.strictSame(archiveSizes(SAMPLE_RECORD), { tarBytes: 10240, archiveBytes: 1000 })
})

t.test('spared: only what there was', async (t) => {
  const increment = { ...SAMPLE_RECORD, requires: REQUIRED }
  t.strictSame(savings(SAMPLE_RECORD, []), {})
  t.strictSame(savings({ ...SAMPLE_RECORD, requires: [] }, []), {})
  t.strictSame(savings(SAMPLE_RECORD, LAYERS), { reusedBytes: 12 })
  t.strictSame(savings(increment, []), { leftOutBytes: 12 })
  t.strictSame(savings(increment, LAYERS.slice(1)), { reusedBytes: 7, leftOutBytes: 12 })
})

t.test('sum: of none, of some', async (t) => {
  t.strictSame([sum([]), sum(LAYERS)], [0, 12])
})
