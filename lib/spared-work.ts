// What a run did not have to do, told at its end.
import type { Outcome } from './core/outcome.ts'
import { formatBytes } from './core/format.ts'

/** @returns a line for what was reused, left out or skipped, where something was. */
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
