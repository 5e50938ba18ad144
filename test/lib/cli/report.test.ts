import { Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { stripVTControlCharacters } from 'node:util'
import t, { type Test } from 'tap'

import { formatProgress, createReport, type Report } from '../../../lib/cli/report.ts'
import { ToolError } from '../../../lib/core/errors.ts'
import type { Notice, Outcome } from '../../../lib/core/outcome.ts'

/** What was written to stdout and stderr since the call. */
function watch(t: Test, { isTTY = false } = {}): { stdout: string; stderr: string } {
  const seen = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    const write = (chunk: Buffer, _: string, done: () => void): void => {
      seen[name] += chunk.toString()
      done()
    }
    const stream = Object.assign(new Writable({ write }), { isTTY, columns: 200, rows: 50 })
    t.intercept(process, name, { value: stream })
  }
  return seen
}

const SAVED: Outcome = {
  image: 'r.io/a:1',
  archive: 'r.io_a-1.tar.xz',
  result: 'saved',
  tarBytes: 2e9,
  archiveBytes: 1e9,
  elapsedMs: 69_000,
  notes: [],
}
const FAILED: Outcome = {
  ...SAVED,
  image: 'b:1',
  result: 'failed',
  error: new ToolError('NO_IMAGE', 'pull "b:1": not found\nat all', { hint: 'check it' }),
}
const PROGRESS: Notice = { type: 'progress', label: 'a:1', tarBytes: 5e6, archiveBytes: 1e6 }

// the notice, stdout, stderr
const NOTICES: [Notice, string, string][] = [
  [{ type: 'step', text: 'Saving a...' }, 'Saving a...\n', ''],
  [{ type: 'output', text: 'Digest: x' }, '', 'Digest: x\n'],
  [{ type: 'warning', text: 'short of space' }, '', 'tool: warning: short of space\n'],
  [PROGRESS, '', ''],
]

t.test('notify: a warning is printed once, a step each time', async (t) => {
  const seen = watch(t)
  const report = await createReport('tool', { json: false })
  for (const text of ['x', 'y', 'x']) {
    for (const type of ['warning', 'step'] as const) report.notify({ type, text })
  }
  t.strictSame(seen, { stdout: 'x\ny\nx\n', stderr: 'tool: warning: x\ntool: warning: y\n' })
})

for (const [notice, stdout, stderr] of NOTICES) {
  t.test(`notify: ${notice.type}`, async (t) => {
    const seen = watch(t)
    const report = await createReport('tool', { json: false })
    report.notify(notice)
    t.strictSame(seen, { stdout, stderr })
  })

  t.test(`notify: ${notice.type}, with --json`, async (t) => {
    const seen = watch(t)
    const report = await createReport('tool', { json: true })
    report.notify(notice)
    t.strictSame(seen, { stdout: '', stderr: stdout + stderr })
  })
}

const MD5 = { expected: 'a'.repeat(32), archive: 'b'.repeat(32) }

// the outcome, its lines
const OUTCOMES: [Partial<Outcome>, string[]][] = [
  [{}, ['Saved: r.io/a:1']],
  [{ result: 'would be saved', notes: ['x', 'y'] }, ['Would be saved: r.io/a:1 (x; y)']],
  [{ result: 'verified' }, ['OK']],
  [{ result: 'verified', md5: MD5, notes: ['x'] }, [`${MD5.expected}  -`, `${MD5.archive}  -`, 'OK (x)']],
  [{ result: 'verified', md5: { archive: MD5.archive } }, [`${MD5.archive}  -`, 'OK']],
  [{ result: 'failed' }, ['FAILED']],
] // prettier-ignore

for (const [outcome, lines] of OUTCOMES) {
  t.test(`add: ${lines.join(', ')}`, async (t) => {
    const seen = watch(t)
    const report = await createReport('tool', { json: false })
    report.add({ ...SAVED, ...outcome })
    t.strictSame(seen, { stdout: lines.map((line) => `${line}\n`).join(''), stderr: '' })
  })
}

t.test('add: an error goes to stderr, line by line, with its hint', async (t) => {
  const seen = watch(t)
  const report = await createReport('tool', { json: false })
  report.add(FAILED)
  t.equal(
    seen.stderr,
    'tool: error: pull "b:1": not found\ntool: error: at all\ntool: hint: check it\n',
  )
  t.equal(seen.stdout, 'FAILED\n')
})

t.test('add: with --json one object a line on stdout, and nothing else', async (t) => {
  const seen = watch(t)
  const report = await createReport('tool', { json: true })
  report.add(SAVED)
  report.add(FAILED)
  report.finish()
  const { error: _, ...failed } = FAILED
  const error = { code: 'NO_IMAGE', message: 'pull "b:1": not found\nat all', hint: 'check it' }
  t.strictSame(
    seen.stdout
      .trimEnd()
      .split('\n')
      .map((line): unknown => JSON.parse(line)),
    [SAVED, { ...failed, error }],
  )
  t.match(seen.stderr, /^Saved: r\.io\/a:1\n[^]*IMAGE +TAR[^]*Elapsed time/)
})

t.test('finish: table, time and Done!', async (t) => {
  const seen = watch(t)
  const report = await createReport('tool', { json: false })
  report.add(SAVED)
  t.equal(report.finish(), true)
  t.strictSame(seen.stdout.split('\n'), [
    'Saved: r.io/a:1',
    '',
    'IMAGE        TAR  ARCHIVE  RATIO   TIME  RESULT',
    'r.io/a:1  2.0 GB   1.0 GB   0.50  1m09s  saved',
    '',
    'Elapsed time 0 minutes and 0 seconds',
    'Done!',
    '',
  ])
})

t.test('finish: names what failed, and is not done', async (t) => {
  const seen = watch(t)
  const report = await createReport('tool', { json: false })
  for (const outcome of [SAVED, FAILED]) report.add(outcome)
  t.equal(report.finish(), false)
  t.match(seen.stderr, /\ntool: failed: b:1: pull "b:1": not found; at all\n$/)
  t.notMatch(seen.stdout, /Done!/)
})

t.test('terminal: progress is drawn on stderr, by the clock', async (t) => {
  const seen = watch(t, { isTTY: true })
  const report = await createReport('tool', { json: false })
  t.teardown(() => report.close())
  report.notify(PROGRESS)
  report.notify({ ...PROGRESS, tarBytes: 6e6 })
  t.equal(seen.stderr, '', 'not for every chunk')
  await delay(300)
  t.match(stripVTControlCharacters(seen.stderr), /^a:1 {2}6\.0 MB {2}.*ratio 0\.17\n?$/)
  t.equal(seen.stdout, '')
})

t.test('terminal: the rate counts from the first byte of an image', async (t) => {
  const seen = watch(t, { isTTY: true })
  const report = await createReport('tool', { json: false })
  t.teardown(() => report.close())
  await delay(300)
  report.notify({ ...PROGRESS, share: 0.5 })
  await delay(250)
  const [, leftMs] = /(\d\.\d)s left/.exec(seen.stderr) ?? []
  t.ok(Number(leftMs) < 0.3, `${leftMs}s`)
})

// what, what takes the line off
const CLEARED: [string, (report: Report) => void][] = [
  ['a step', (report) => report.notify({ type: 'step', text: 'x' })],
  ['a warning', (report) => report.notify({ type: 'warning', text: 'x' })],
  ['an outcome', (report) => report.add(SAVED)],
  ['the summary', (report) => report.finish()],
  ['the end', (report) => report.close()],
]

for (const [what, act] of CLEARED) {
  t.test(`terminal: the progress line is taken off for ${what}`, async (t) => {
    const seen = watch(t, { isTTY: true })
    const report = await createReport('tool', { json: false })
    t.teardown(() => report.close())
    report.notify(PROGRESS)
    await delay(300)
    const drawn = seen.stderr.length
    act(report)
    t.match(seen.stderr.slice(drawn), '\u001B[2K')
  })
}

t.test('terminal: nothing is drawn after an outcome, or after the end', async (t) => {
  const seen = watch(t, { isTTY: true })
  const report = await createReport('tool', { json: false })
  report.notify(PROGRESS)
  report.add(SAVED)
  await delay(250)
  t.notMatch(seen.stderr, 'MB')
  report.notify(PROGRESS)
  report.close()
  await delay(250)
  t.notMatch(seen.stderr, 'MB')
})

t.test('finish: what was listed is a table of what is there, and no line of its own', async (t) => {
  const seen = watch(t)
  const report = await createReport('tool', { json: false })
  report.add({ ...SAVED, result: 'listed' })
  t.equal(seen.stdout, '')
  t.ok(report.finish())
  t.match(seen.stdout, /^\nIMAGE +PLATFORM +CREATED/)
})

// tar bytes, archive bytes, share, elapsed ms, the line
const LINES: [number, number, number | undefined, number, string][] = [
  [0, 0, 0, 0, 'a:1  0 B  0 B/s'],
  [0, 0, undefined, 5000, 'a:1  0 B  0 B/s'],
  [2_000_000, 500_000, undefined, 1000, 'a:1  2.0 MB  2.0 MB/s  ratio 0.25'],
  [2_000_000, 0, 0.25, 10_000, 'a:1  2.0 MB  200 kB/s  ratio 0.00  25 %  30s left'],
  [3e9, 2.99e9, 0.999, 60_000, 'a:1  3.0 GB  50.0 MB/s  ratio 1.00  99 %  0.1s left'],
  [3e9, 3e9, 1, 60_000, 'a:1  3.0 GB  50.0 MB/s  ratio 1.00  100 %  0.0s left'],
]

for (const [tarBytes, archiveBytes, share, elapsedMs, want] of LINES) {
  t.test(`formatProgress: ${want}`, async (t) => {
    const notice = { type: 'progress', label: 'a:1', tarBytes, archiveBytes } as const
    t.equal(formatProgress(share === undefined ? notice : { ...notice, share }, elapsedMs), want)
  })
}
