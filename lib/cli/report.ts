// Prints what a run does. On stdout: the lines of the original scripts and the table, or
// JSON with --json. On stderr: progress, warnings and errors.
import { formatError } from '../core/errors.ts'
import { formatBytes, formatShort, formatElapsed } from '../core/format.ts'
import type { Notice, Outcome } from '../core/outcome.ts'
import { visible, visibleJson } from '../core/visible-text.ts'
import { formatSpared, formatHoldings, formatTable } from './summary.ts'

/** The report of one run. */
export interface Report {
  readonly notify: (notice: Notice) => void
  add(outcome: Outcome): void
  /** Prints the summary. @returns true if nothing failed */
  finish(): boolean
  /** Removes the progress line from the terminal. */
  close(): void
}

interface ProgressLine {
  (text: string): void
  clear: () => void
}

type Moving = Extract<Notice, { type: 'progress' }>

const REDRAW_MS = 200

/**
 * @param name - the name of the program
 * @param options - `json`: one JSON object for each outcome on stdout, all else on stderr
 * @returns the report of one run
 */
export async function createReport(name: string, { json }: { json: boolean }): Promise<Report> {
  const outcomes: Outcome[] = []
  const start = performance.now()
  const line = process.stderr.isTTY ? await createLine() : undefined
  // The same warning may come for each image; it is printed once.
  const warned = new Set<string>()
  let latest: (Moving & { startMs: number }) | undefined

  const print = (text: string): void => {
    line?.clear()
    const stream = json ? process.stderr : process.stdout
    stream.write(`${text}\n`)
  }
  const warn = (text: string): void => {
    line?.clear()
    process.stderr.write(`${text}\n`)
  }
  const move = (progress: Moving): void => {
    const isSame = latest?.label === progress.label
    latest = { ...progress, startMs: isSame && latest ? latest.startMs : performance.now() }
  }
  const draw = (): void => {
    if (latest) line?.(formatProgress(latest, performance.now() - latest.startMs))
  }
  const timer = line && setInterval(draw, REDRAW_MS)
  return {
    notify(notice) {
      if (notice.type === 'progress') move(notice)
      else if (notice.type === 'step') print(visible(notice.text))
      else if (notice.type === 'output') warn(visible(notice.text))
      else if (notice.type === 'remark') warn(`${name}: ${visible(notice.text)}`)
      else if (!warned.has(notice.text)) {
        warned.add(notice.text)
        warn(`${name}: warning: ${visible(notice.text)}`)
      }
    },
    add(outcome) {
      outcomes.push(outcome)
      latest = undefined
      for (const text of outcomeLines(outcome)) print(visible(text))
      if (outcome.error) warn(formatError(name, outcome.error))
      if (json) process.stdout.write(`${visibleJson(toJson(outcome))}\n`)
    },
    finish() {
      const failed = outcomes.filter((outcome) => outcome.result === 'failed')
      const isInventory = outcomes.some(({ result }) => result === 'listed')
      print(`\n${isInventory ? formatHoldings(outcomes) : formatTable(outcomes)}\n`)
      for (const text of formatSpared(outcomes)) print(text)
      for (const { image, error } of failed) {
        warn(`${name}: failed: ${visible(`${image}: ${error?.message.replaceAll('\n', '; ')}`)}`)
      }
      print(`Elapsed time ${formatElapsed(performance.now() - start)}`)
      if (failed.length === 0) print('Done!')
      return failed.length === 0
    },
    close() {
      clearInterval(timer)
      line?.clear()
    },
  }
}

// log-update takes longer to load than all the rest, so it is loaded only for a terminal.
async function createLine(): Promise<ProgressLine> {
  const { createLogUpdate } = await import('log-update')
  return createLogUpdate(process.stderr, { showCursor: true })
}

// The md5 lines are those of `md5sum` in the original verify_checksums.
function outcomeLines({ image, result, md5, notes }: Outcome): string[] {
  if (result === 'listed') return []
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

/**
 * @param progress - how much of an image is done
 * @param elapsedMs - the time since the first notice of this image
 * @returns bytes of tar, rate, compression ratio so far, share and time left
 */
export function formatProgress(
  progress: Extract<Notice, { type: 'progress' }>,
  elapsedMs: number,
): string {
  const { label, tarBytes, archiveBytes, share } = progress
  const rate = (tarBytes * 1000) / Math.max(1, elapsedMs)
  const parts = [formatBytes(tarBytes), `${formatBytes(rate)}/s`]
  if (tarBytes > 0) parts.push(`ratio ${(archiveBytes / tarBytes).toFixed(2)}`)
  if (share !== undefined && share > 0) {
    parts.push(`${Math.floor(share * 100)} %`)
    parts.push(`${formatShort((elapsedMs * (1 - share)) / share)} left`)
  }
  return `${visible(label)}  ${parts.join('  ')}`
}
