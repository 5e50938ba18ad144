import t from 'tap'

import { hasControls, visible, visibleJson } from '../../../lib/core/visible-text.ts'

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
    const json = visibleJson({ text })
    t.equal(visible(json), json)
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

t.test('hasControls: what a file name must not have; what is only invisible it may', async (t) => {
  for (const text of ['a\nb', '\u001b[2J', '\u009b', 'gpj.\u202ezx'])
    t.equal(hasControls(text), true)
  for (const text of ['größe 数', 'a\u2764\ufe0f', 'zero\u200dwidth'])
    t.equal(hasControls(text), false)
})
