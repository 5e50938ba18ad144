import t from 'tap'

import { hasHidden, visible, visibleJson } from '../../lib/visible-text.ts'

// the text, how it is shown
const TEXTS: [string, string][] = [
  ['', ''],
  ['nvcr.io/nvidia/pytorch:24.05-py3', 'nvcr.io/nvidia/pytorch:24.05-py3'],
  ['größe 数 é', 'größe 数 é'],
  ['a backslash \\ stays', 'a backslash \\ stays'],
  ['\u001b[31mred\u001b[0m', '\\x1b[31mred\\x1b[0m'],
  ['one\ntwo\r\tthree\0', 'one\\ntwo\\r\\tthree\\x00'],
  ['\u007f\u0080\u009b1A\u00ad', '\\x7f\\x80\\x9b1A\\xad'],
  [
    'zero\u200bwidth \u202egnp.exe \u2066x\u2069',
    'zero\\u{200b}width \\u{202e}gnp.exe \\u{2066}x\\u{2069}',
  ],
  ['\ufeffmark', '\\u{feff}mark'],
  ['tag \u{e0041}', 'tag \\u{e0041}'],
  ['half \ud800', 'half \\u{d800}'],
]

for (const [text, shown] of TEXTS) {
  t.test(`visible: ${shown}`, async (t) => {
    t.equal(visible(text), shown)
    t.equal(hasHidden(text), text !== shown)
    const json = visibleJson({ text })
    t.equal(hasHidden(json), false)
    t.strictSame(JSON.parse(json), { text })
  })
}

t.test(
  'visible: of a long text the middle is left out, and what is hidden in it shown',
  async (t) => {
    t.equal(visible('abcdefghij', 10), 'abcdefghij')
    t.equal(visible('abcdefghijk', 10), 'abcd…hijk')
    const long = visible(`\u001b${'x'.repeat(1_000_000)}\u001b`)
    t.match(long, /^\\x1bx+…x+\\x1b$/)
    t.ok(long.length < 3000)
  },
)
