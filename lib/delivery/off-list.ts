// Archives that a list does not name: a load by that list passes them over, and says so.
import { archiveNames, incrementName } from './name.ts'
import type { ImageReference } from '../image/reference.ts'

/**
 * @param archives - file names of those that lie in a delivery
 * @param references - the images of its list
 * @returns which of them a load by that list passes over, a sentence; undefined if none
 */
export function noteOffList(
  archives: readonly string[],
  references: readonly ImageReference[],
): string | undefined {
  const full = references.flatMap(archiveNames)
  const known = new Set([...full, ...full.map(incrementName)])
  const others = archives.filter((name) => !known.has(name))
  if (others.length === 0) return undefined
  const some = others.slice(0, MAX_NAMED).map((name) => `"${name}"`)
  const more = others.length > MAX_NAMED ? [`and ${others.length - MAX_NAMED} more`] : []
  const what = others.length === 1 ? '1 archive here is' : `${others.length} archives here are`
  const names = [...some, ...more].join(', ')
  return `${what} not on the list: ${names}; verify and load take what is not on it only by name`
}

const MAX_NAMED = 5
