// Finds archives that the list does not name: a load by that list does not take them, and says
// so.
import type { ImageReference } from '../image/reference.ts'
import { archiveNames, incrementName } from './name.ts'

/**
 * @param archives - the file names of the archives in a delivery
 * @param references - the images of its list
 * @returns a sentence that names the archives that a load by that list does not take; undefined
 *   if it takes all
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
