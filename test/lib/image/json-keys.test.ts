import t from 'tap'

import { findOddKey } from '../../../lib/image/json-keys.ts'

const KNOWN = ['RepoTags', 'size']

// JSON, the key
const TEXTS: [string, string | undefined][] = [
  ['{}', undefined],
  ['[{"RepoTags":["RepoTags","repotags"],"x":"repotags"},{"RepoTags":[]}]', undefined],
  ['{"a":{"a":1},"b":[{"a":{}},{"a":2}]}', undefined],
  ['{"other":1,"Other":2}', undefined],
  ['{"a":1,"b":{},"a":2}', 'a'],
  ['{"a":1,"b":{},"\\u0061" : 2}', 'a'],
  ['{"a\\"":1,"b":{"c":"}"},"a\\"":2}', 'a"'],
  ['[{"Config":"","repotags":[]}]', 'repotags'],
  ['{"REPOTAGS"\n\t:[]}', 'REPOTAGS'],
  ['{"\\u017fize":1}', 'ſize'],
  ['{"s\\\\":"{","x":1}', undefined],
]

for (const [text, want] of TEXTS) {
  t.test(`findOddKey: ${text}`, async (t) => {
    JSON.parse(text)
    t.equal(findOddKey(text, KNOWN), want)
  })
}

t.test('findOddKey: takes no time for much', async (t) => {
  const startMs = performance.now()
  for (const text of ['"'.padEnd(8_000_000, '\\\\') + '"', `{"a":""${' '.repeat(8_000_000)}}`]) {
    t.equal(findOddKey(text, KNOWN), undefined)
  }
  t.ok(performance.now() - startMs < 20_000, 'it ends')
})
