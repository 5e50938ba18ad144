import t from 'tap'

import { expectEqual } from '../../../lib/delivery/expect-equal.ts'

t.test('expectEqual: compares texts and numbers', async (t) => {
  t.doesNotThrow(() => expectEqual('size', 1, 1))
  t.throws(() => expectEqual('size', 1, '1'), {
    code: 'MISMATCH',
    message: 'check size: got 1, want 1',
  })
})
