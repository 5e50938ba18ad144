// The table at the end of a run.
import type { Outcome } from './outcome.ts'
import { formatBytes, formatShort } from './quantity.ts'

const HEAD = ['IMAGE', 'TAR', 'ARCHIVE', 'RATIO', 'TIME', 'RESULT']

/** @returns a line for each outcome below a head, in columns; ratio is archive by tar. */
export function formatTable(outcomes: readonly Outcome[]): string {
  const rows = [HEAD, ...outcomes.map(row)]
  const widths = HEAD.map((_, column) =>
    Math.max(...rows.map((cells) => cells[column]?.length ?? 0)),
  )
  const isText = (column: number): boolean => column === 0 || column === HEAD.length - 1
  return rows
    .map((cells) =>
      cells
        .map((cell, column) => {
          const width = widths[column] ?? 0
          return isText(column) ? cell.padEnd(width) : cell.padStart(width)
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function row({ image, tarBytes, archiveBytes, elapsedMs, result }: Outcome): string[] {
  return [
    image,
    tarBytes === undefined ? '-' : formatBytes(tarBytes),
    archiveBytes === undefined ? '-' : formatBytes(archiveBytes),
    tarBytes && archiveBytes !== undefined ? (archiveBytes / tarBytes).toFixed(2) : '-',
    formatShort(elapsedMs),
    result,
  ]
}
