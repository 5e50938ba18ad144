// What people and programs see of a run: the lines of the original scripts and
// the table on stdout, or JSON there; progress, warnings and errors on stderr.
import { createLogUpdate } from 'log-update'

import { printError } from './cli.ts'
import type { ToolError } from './errors.ts'
import type { Notice, Outcome } from './outcome.ts'
import { formatProgress } from './progress-line.ts'
import { formatElapsed } from './quantity.ts'
import { formatTable } from './summary-table.ts'

/** The report of one run. */
export interface Report {
  readonly notify: (notice: Notice) => void
  add(outcome: Outcome): void
  /** Prints the summary. @returns whether nothing failed. */
  finish(): boolean
  /** Takes the progress line off the terminal. */
  close(): void
}

const REDRAW_MS = 100

/**
 * @param name - the program's name
 * @param options - `json`: one JSON object for each outcome on stdout, all else on stderr
 */
export function createReport(name: string, { json }: { json: boolean }): Report {
  const outcomes: Outcome[] = []
  const start = performance.now()
  const line = process.stderr.isTTY
    ? createLogUpdate(process.stderr, { showCursor: true })
    : undefined
  let current: { label: string; startMs: number; drawnMs: number } | undefined

  const print = (text: string): void => {
    line?.clear()
    const stream = json ? process.stderr : process.stdout
    stream.write(`${text}\n`)
  }
  const warn = (text: string): void => {
    line?.clear()
    process.stderr.write(`${text}\n`)
  }
  const fail = (error: ToolError): void => {
    line?.clear()
    printError(name, error)
  }
  const draw = (notice: Extract<Notice, { type: 'progress' }>): void => {
    const now = performance.now()
    if (current?.label !== notice.label) {
      current = { label: notice.label, startMs: now, drawnMs: 0 }
    }
    if (!line || now - current.drawnMs < REDRAW_MS) return
    current.drawnMs = now
    line(formatProgress(notice, now - current.startMs))
  }
  return {
    notify(notice) {
      if (notice.type === 'progress') draw(notice)
      else if (notice.type === 'step') print(notice.text)
      else if (notice.type === 'output') warn(notice.text)
      else warn(`${name}: warning: ${notice.text}`)
    },
    add(outcome) {
      outcomes.push(outcome)
      current = undefined
      for (const text of outcomeLines(outcome)) print(text)
      if (outcome.error) fail(outcome.error)
      if (json) process.stdout.write(`${JSON.stringify(toJson(outcome))}\n`)
    },
    finish() {
      const failed = outcomes.filter((outcome) => outcome.result === 'failed')
      print(`\n${formatTable(outcomes)}\n`)
      for (const { image, error } of failed) warn(`${name}: failed: ${image}: ${error?.message}`)
      print(`Elapsed time ${formatElapsed(performance.now() - start)}`)
      if (failed.length === 0) print('Done!')
      return failed.length === 0
    },
    close: () => line?.clear(),
  }
}

// The md5 lines are those of `md5sum` in the original verify_checksums.
function outcomeLines({ image, result, md5, notes }: Outcome): string[] {
  const lines: string[] = []
  if (md5?.expected !== undefined) lines.push(`${md5.expected}  -`)
  if (md5) lines.push(`${md5.archive}  -`)
  const remarks = notes.length > 0 ? ` (${notes.join('; ')})` : ''
  if (result === 'verified') lines.push(`OK${remarks}`)
  else if (result === 'failed') lines.push('FAILED')
  else lines.push(`${result[0]?.toUpperCase()}${result.slice(1)}: ${image}${remarks}`)
  return lines
}

function toJson({ error, ...outcome }: Outcome): object {
  return error
    ? { ...outcome, error: { code: error.code, message: error.message, hint: error.hint } }
    : outcome
}
