// The tables at the end of a run.
import type { Holding, Outcome } from './core/outcome.ts'
import { formatBytes, formatShort } from './core/format.ts'
import { formatRows } from './text-table.ts'

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

/** @returns a line for each outcome below a head, in columns; ratio is archive by tar. */
export function formatTable(outcomes: readonly Outcome[]): string {
  const isLast = (column: number): boolean => column === HEAD.length - 1
  return formatRows([HEAD, ...outcomes.map(row)], (column) => column === 0 || isLast(column))
}

/** @returns the same for what a carry directory holds. */
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
