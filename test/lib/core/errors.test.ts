import { readFile } from 'node:fs/promises'
import t from 'tap'

import {
  ToolError,
  firstLines,
  formatError,
  interrupted,
  isInterruption,
  isSystemError,
  ignoreNotFound,
  toToolError,
} from '../../../lib/core/errors.ts'

/** An error as node makes it of what the operating system says. */
function systemError(code: string, path?: string): Error {
  const place = path === undefined ? '' : ` '${path}'`
  const error = new Error(`${code}: reason of it, write${place}`)
  return Object.assign(error, { code, syscall: 'write', ...(path !== undefined && { path }) })
}

// what the system said, the code, whether there is a hint
const SYSTEM: [string, string, boolean][] = [
  ['ENOSPC', 'NO_SPACE', true],
  ['EDQUOT', 'NO_SPACE', true],
  ['EROFS', 'NOT_WRITABLE', true],
  ['EACCES', 'NOT_WRITABLE', true],
  ['EPERM', 'NOT_WRITABLE', true],
  ['EIO', 'IO_FAILED', false],
]

for (const [said, code, hasHint] of SYSTEM) {
  t.test(`toToolError: ${said} is ${code}`, async (t) => {
    const cause = systemError(said, '/dir/a b')
    const error = toToolError(cause)
    t.match(error, { code, message: /^write "\/dir\/a b": reason of it$/, cause })
    t.equal(error?.hint !== undefined, hasHint)
  })
}

t.test('toToolError: a system error without a path', async (t) => {
  t.equal(toToolError(systemError('ENOSPC'))?.message, 'write: reason of it')
})

t.test('toToolError: what node really throws', async (t) => {
  const dir = t.testdir()
  const error = await readFile(`${dir}/it's, gone`).catch((thrown: unknown) => thrown)
  t.match(toToolError(error), {
    code: 'IO_FAILED',
    message: `open "${dir}/it's, gone": no such file or directory`,
  })
})

t.test('toToolError: an error for people stays what it is', async (t) => {
  const error = new ToolError('BUSY', 'busy')
  t.equal(toToolError(error), error)
})

const BUGS: [string, unknown][] = [
  ['an error', new Error('bug')],
  ['an error with a code only', Object.assign(new Error('bug'), { code: 'ERR_X' })],
  ['a string', 'bug'],
  ['nothing', undefined],
]

for (const [what, bug] of BUGS) {
  t.test(`toToolError, isSystemError: ${what} is a bug`, async (t) => {
    t.equal(toToolError(bug), undefined)
    t.equal(isSystemError(bug), false)
  })
}

t.test('ToolError: carries code, hint and cause', async (t) => {
  const cause = new Error('behind')
  const error = new ToolError('BAD_TAR', 'read tar: broken', { hint: 'again', cause })
  t.match(error, { name: 'ToolError', code: 'BAD_TAR', hint: 'again', cause })
  t.equal(new ToolError('BAD_TAR', 'x').hint, undefined)
})

t.test('formatError: a line for each of the message, then the hint', async (t) => {
  const error = new ToolError('BUSY', 'first\nsecond', { hint: 'wait' })
  t.equal(formatError('tool', error), 'tool: error: first\ntool: error: second\ntool: hint: wait')
  t.equal(formatError('tool', new ToolError('BUSY', 'first')), 'tool: error: first')
})

t.test('formatError: of many or long lines as much as a person reads', async (t) => {
  const lines = Array.from({ length: 5000 }, (_, index) => `line ${index} ${'x'.repeat(5000)}`)
  const error = new ToolError('BUSY', lines.join('\n'), { hint: 'h'.repeat(5000) })
  for (const each of [error, { message: lines.join('\n'), hint: lines[0] }]) {
    const told = formatError('tool', each).split('\n')
    t.equal(told.length, 12)
    t.match(told[0], /^tool: error: line 0 x+…x+$/)
    t.equal(told[10], 'tool: error: and 4990 more lines')
    t.ok(told.every((line) => line.length < 2100))
  }
  // As it is for programs.
  t.ok(error.message.length < 25_000)
  t.ok(String(error.hint).length <= 2000)
})

t.test('firstLines: eleven as they are, of more the first ten', async (t) => {
  const lines = Array.from({ length: 12 }, (_, index) => `${index}`)
  t.strictSame(firstLines(lines.slice(0, 11)), lines.slice(0, 11))
  t.strictSame(firstLines(lines), [...lines.slice(0, 10), 'and 2 more lines'])
  t.strictSame(firstLines(firstLines(lines)), firstLines(lines))
  t.strictSame(firstLines(lines.slice(0, 11), 30).at(-1), 'and 20 more lines')
})

t.test('nothing: a file that is not there is no failure, all else is', async (t) => {
  t.equal(ignoreNotFound(systemError('ENOENT')), undefined)
  for (const error of [systemError('EACCES'), new Error('bug')]) {
    t.throws(() => ignoreNotFound(error), error)
  }
})

t.test('isInterruption: the error of a run that was told to stop, and no other', async (t) => {
  t.equal(isInterruption(interrupted()), true)
  t.equal(isInterruption(new ToolError('BUSY', 'interrupted')), false)
  t.equal(isInterruption(new Error('interrupted')), false)
})
