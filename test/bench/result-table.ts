// The Markdown table that a run of the benches prints.

/** One line of the table. */
export interface Row {
  readonly measure: string
  /** What the tool took, such as `41.2 s` or `120 MiB`. */
  readonly tool: string
  /** What the plain pipeline took; none where nothing is compared. */
  readonly plain?: string
  /** The ratio of the two, and how far it went. */
  readonly ratio?: string
  /** The bound as people read it. */
  readonly bound: string
  /** Whether the bound was held. */
  readonly held: boolean
}

/** @returns whether the row's bound was missed. */
export function isMissed({ held }: Row): boolean {
  return !held
}

/** @returns the table, ending in a newline. */
export function formatTable(rows: readonly Row[]): string {
  const cells = [
    ['measure', 'tool', 'plain pipeline', 'ratio', 'bound'],
    ...rows.map(({ measure, tool, plain = '-', ratio = '-', bound, held }) => {
      return [measure, tool, plain, ratio, `${bound} ${held ? '(held)' : '(MISSED)'}`]
    }),
  ]
  const widths = [0, 1, 2, 3, 4].map((column) =>
    Math.max(...cells.map((line) => line[column]?.length ?? 0)),
  )
  const lines = cells.map((line) => line.map((cell, column) => cell.padEnd(widths[column] ?? 0)))
  lines.splice(
    1,
    0,
    widths.map((width) => '-'.repeat(width)),
  )
  return lines.map((line) => `| ${line.join(' | ')} |\n`).join('')
}

/** @returns milliseconds below a second, else seconds. */
export function formatMs(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`
}

/** @returns whole MiB. */
export function formatMiB(bytes: number): string {
  return `${Math.round(bytes / 1024 ** 2)} MiB`
}
