// Prints what a run does. On stdout: the lines of the original scripts and the table, or
// JSON with --json. On stderr: progress, warnings and errors.
import { formatError } from '../core/errors.ts'
import { formatBytes, formatShort, formatElapsed } from '../core/format.ts'
import type { Notice, Outcome } from '../core/outcome.ts'
import { visible, visibleJson } from '../core/visible-text.ts'
import { formatSpared, formatHoldings, formatTable } from './summary.ts'

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
export async function createReport(name: string, options: { json: boolean }): Promise<Report> {
  return new Report(name, options, process.stderr.isTTY ? await createLine() : undefined)
}

/** The report of one run. */
export class Report {
  readonly #name: string
  readonly #json: boolean
  readonly #line: ProgressLine | undefined
  readonly #timer: NodeJS.Timeout | undefined
  readonly #start = performance.now()
  readonly #outcomes: Outcome[] = []
  // The same warning may come for each image; it is printed once.
  readonly #warned = new Set<string>()
  #latest: (Moving & { readonly startMs: number }) | undefined

  /** @param line - where progress is drawn; undefined draws none */
  constructor(name: string, { json }: { json: boolean }, line: ProgressLine | undefined) {
    this.#name = name
    this.#json = json
    this.#line = line
    this.#timer = line && setInterval(() => this.#draw(line), REDRAW_MS)
  }

  notify(notice: Notice): void {
    const { type } = notice
    if (type === 'progress') this.#move(notice)
    else if (type === 'step') this.#print(visible(notice.text))
    else if (type === 'output') this.#warn(visible(notice.text))
    else if (type === 'remark') this.#warn(`${this.#name}: ${visible(notice.text)}`)
    else if (!this.#warned.has(notice.text)) {
      this.#warned.add(notice.text)
      this.#warn(`${this.#name}: warning: ${visible(notice.text)}`)
    }
  }

  add(outcome: Outcome): void {
    this.#outcomes.push(outcome)
    this.#latest = undefined
    for (const text of outcomeLines(outcome)) this.#print(visible(text))
    if (outcome.error) this.#warn(formatError(this.#name, outcome.error))
    if (this.#json) process.stdout.write(`${visibleJson(toJson(outcome))}\n`)
  }

  /** Prints the summary. @returns true if nothing failed */
  finish(): boolean {
    const outcomes = this.#outcomes
    const failed = outcomes.filter((outcome) => outcome.result === 'failed')
    const isInventory = outcomes.some(({ result }) => result === 'listed')
    this.#print(`\n${isInventory ? formatHoldings(outcomes) : formatTable(outcomes)}\n`)
    for (const text of formatSpared(outcomes)) this.#print(text)
    for (const { image, error } of failed) {
      const why = visible(`${image}: ${error?.message.replaceAll('\n', '; ')}`)
      this.#warn(`${this.#name}: failed: ${why}`)
    }
    this.#print(`Elapsed time ${formatElapsed(performance.now() - this.#start)}`)
    if (failed.length === 0) this.#print('Done!')
    return failed.length === 0
  }

  /** Removes the progress line from the terminal. */
  close(): void {
    clearInterval(this.#timer)
    this.#line?.clear()
  }

  #print(text: string): void {
    this.#line?.clear()
    const stream = this.#json ? process.stderr : process.stdout
    stream.write(`${text}\n`)
  }

  #warn(text: string): void {
    this.#line?.clear()
    process.stderr.write(`${text}\n`)
  }

  #move(progress: Moving): void {
    const latest = this.#latest
    const startMs = latest?.label === progress.label ? latest.startMs : performance.now()
    this.#latest = { ...progress, startMs }
  }

  #draw(line: ProgressLine): void {
    const latest = this.#latest
    if (latest) line(formatProgress(latest, performance.now() - latest.startMs))
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
export function formatProgress(progress: Moving, elapsedMs: number): string {
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
