// Formats the tables at the end of a run, and the lines about the work that it saved.
import { formatBytes, formatShort } from '../core/format.ts'
import type { Outcome, Holding } from '../core/outcome.ts'
import { visible } from '../core/visible-text.ts'

const HEAD = ['IMAGE', 'TAR', 'ARCHIVE', 'RATIO', 'TIME', 'RESULT']
const HOLDING_HEAD = [
  'IMAGE',
  'PLATFORM',
  'CREATED',
  'TAR',
  'ARCHIVE',
  'LAYERS',
  'SHARED',
  'INCREMENT OF',
]

/** @returns a table with a head and a line for each outcome; the ratio is archive / tar. */
export function formatTable(outcomes: readonly Outcome[]): string {
  const isLast = (column: number): boolean => column === HEAD.length - 1
  return formatRows([HEAD, ...outcomes.map(row)], (column) => column === 0 || isLast(column))
}

/** @returns a table with a head and a line for each archive of a delivery. */
export function formatHoldings(outcomes: readonly Outcome[]): string {
  return formatRows([HOLDING_HEAD, ...outcomes.map(holdingRow)], (column) =>
    [0, 1, 2, 7].includes(column),
  )
}

function row({ image, tarBytes, archiveBytes, elapsedMs, result }: Outcome): string[] {
  return [
    image,
    formatSize(tarBytes),
    formatSize(archiveBytes),
    tarBytes && archiveBytes !== undefined ? (archiveBytes / tarBytes).toFixed(2) : '-',
    formatShort(elapsedMs),
    result,
  ]
}

function holdingRow(outcome: Outcome): string[] {
  const { image, tarBytes, archiveBytes, holding, result } = outcome
  const { platform, created, layers, sharedLayers, incrementOf }: Partial<Holding> = holding ?? {}
  return [
    image,
    platform ?? '-',
    created?.slice(0, 'YYYY-MM-DD'.length) ?? '-',
    formatSize(tarBytes),
    result === 'failed' ? 'missing' : formatSize(archiveBytes),
    `${layers ?? '-'}`,
    `${sharedLayers ?? '-'}`,
    incrementOf?.join(', ') ?? '',
  ]
}

function formatSize(bytes: number | undefined): string {
  return bytes === undefined ? '-' : formatBytes(bytes)
}

/**
 * @param rows - the cells of each row; the first row is the head
 * @param isText - says whether a column has text, aligned left; numbers are aligned right
 * @returns the table, a line for each row
 */
export function formatRows(
  rows: readonly (readonly string[])[],
  isText: (column: number) => boolean,
): string {
  const shown = rows.map((cells) => cells.map((cell) => visible(cell, MAX_CELL)))
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...shown.map((cells) => cells[column]?.length ?? 0)),
  )
  return shown
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

// The longest name of a file.
const MAX_CELL = 255

/** @returns a line each for the bytes reused, left out and skipped, if there are any. */
export function formatSpared(outcomes: readonly Outcome[]): string[] {
  const total = (field: 'reusedBytes' | 'leftOutBytes' | 'skippedBytes' | 'tarBytes'): number =>
    outcomes.reduce((sum, outcome) => sum + (outcome[field] ?? 0), 0)
  const leftOut = total('leftOutBytes')
  const all = total('tarBytes') + leftOut
  return [
    ...line('Reused', total('reusedBytes'), all, 'compressed before'),
    ...line('Left out', leftOut, all, 'delivered before'),
    ...line('Skipped', total('skippedBytes'), all, 'in the engine already'),
  ]
}

function line(what: string, bytes: number, all: number, why: string): string[] {
  if (bytes === 0) return []
  const share = Math.round((100 * bytes) / Math.max(all, bytes))
  return [`${what} ${formatBytes(bytes)} of ${formatBytes(all)} (${share} %): ${why}`]
}
