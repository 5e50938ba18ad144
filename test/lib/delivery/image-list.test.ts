import t from 'tap'

import { parseImageList } from '../../../lib/delivery/image-list.ts'

// what, text, the references
const LISTS: [string, string, string[]][] = [
  ['one line', 'ubuntu:22.04\n', ['ubuntu:22.04']],
  ['a last line without its end', 'b\na', ['b', 'a']],
  ['CRLF', 'a:1\r\nb:1\r\n', ['a:1', 'b:1']],
  ['a BOM', '\uFEFFa:1\n', ['a:1']],
  ['blank lines and blanks around', '\n  a:1 \t\n\n\tb:1\n \n', ['a:1', 'b:1']],
  ['comments', '# all\na:1 # the first\n  #b:1\nc:1\t#\n', ['a:1', 'c:1']],
  ['repeated lines', 'b:1\na:1\nb:1 # again\n', ['b:1', 'a:1']],
]

for (const [what, text, want] of LISTS) {
  t.test(`parseImageList: takes ${what}`, async (t) => {
    t.strictSame(
      parseImageList(text, 'list').map((reference) => reference.text),
      want,
    )
  })
}

t.test('parseImageList: names every bad line, and the first hint', async (t) => {
  const text = '\uFEFF# images\r\na:1\r\nUbuntu\r\n\r\nb:1 c:1\r\na:1#x\r\n'
  t.throws(() => parseImageList(text, 'my.txt'), {
    code: 'BAD_LIST',
    message: [
      'my.txt:3: not a valid image name: "Ubuntu"',
      'my.txt:5: not a valid image name: "b:1 c:1"',
      'my.txt:6: not a valid image name: "a:1#x"',
    ].join('\n'),
    hint: 'repository names are lower case: ubuntu',
  })
})

t.test('parseImageList: of many bad lines the first ten, of a long one its ends', async (t) => {
  const secret = `root:$6$${'s'.repeat(300)}:19000`
  const told = (lines: readonly string[]): string[] => {
    const error = t.throws(() => parseImageList(lines.join('\n'), 'my.txt'), { code: 'BAD_LIST' })
    return error instanceof Error ? error.message.split('\n') : []
  }
  const [first = ''] = told([secret])
  t.match(first, /^my\.txt:1: not a valid image name: "root:\$6\$s+…s+:19000"$/)
  t.ok(first.length < 120, first)
  const bad = Array.from({ length: 100_000 }, (_, index) => `BAD ${index}`)
  const wanted = (count: number) =>
    bad
      .slice(0, count)
      .map((each, index) => `my.txt:${index + 1}: not a valid image name: "${each}"`)
  t.strictSame(told(bad.slice(0, 10)), wanted(10))
  t.strictSame(told(bad.slice(0, 11)), wanted(11))
  t.strictSame(told(bad.slice(0, 12)), [...wanted(10), 'and 2 more lines'])
  t.strictSame(told(['a:1', ...bad]).slice(9), [
    'my.txt:11: not a valid image name: "BAD 9"',
    'and 99990 more lines',
  ])
})

for (const text of ['', '\n', '# nothing yet\n', '\uFEFF']) {
  t.test(`parseImageList: refuses a list without an image: ${JSON.stringify(text)}`, async (t) => {
    t.throws(() => parseImageList(text, 'my.txt'), {
      code: 'BAD_LIST',
      message: '"my.txt" names no image',
    })
  })
}

t.test('parseImageList: takes no time for many comments in a line', async (t) => {
  const start = performance.now()
  const [read] = parseImageList(`a:1${' #'.repeat(500_000)}\u2028`, 'my.txt')
  t.equal(read?.text, 'a:1')
  t.ok(performance.now() - start < 20_000, 'it ends')
})
