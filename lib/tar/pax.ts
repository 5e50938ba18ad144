// Members that speak of the next member: GNU long names and pax records.
import { ToolError } from '../core/errors.ts'

/** The type flags of members that describe the one after them. */
export const META_TYPES: ReadonlySet<string> = new Set(['x', 'g', 'L', 'K'])

/** No path or link that a system takes is longer. */
export const MAX_NAME_BYTES = 64 * 1024

/** What they say in place of its header. */
export interface Overrides {
  path?: string
  linkPath?: string
  sizeBytes?: number
  sparse?: boolean
}

/**
 * @param type - its type flag
 * @param content - its content
 * @returns what it says of the member after it
 * @throws BAD_TAR
 */
export function readMeta(type: string, content: Buffer): Overrides {
  if (type === 'L') return { path: readName(content) }
  if (type === 'K') return { linkPath: readName(content) }
  return type === 'x' ? readPax(content) : {}
}

// A NUL ends it.
function readName(content: Buffer): string {
  const end = content.indexOf(0)
  return content.toString('utf8', 0, end === -1 ? content.length : end)
}

const NEWLINE = 0x0a

// "LENGTH KEY=VALUE\n", the length counting all of it, in bytes.
function readPax(content: Buffer): Overrides {
  const overrides: Overrides = {}
  for (let from = 0; from < content.length;) {
    const space = content.indexOf(0x20, from)
    // A length of more digits is none.
    const end = Math.min(space, from + 16)
    const length = Number(content.toString('latin1', from, end))
    const isWhole = length > 0 && content[from + length - 1] === NEWLINE
    if (space === -1 || !isWhole) {
      throw new ToolError('BAD_TAR', 'read tar: a pax record of a wrong length')
    }
    const [key = '', ...value] = content.toString('utf8', space + 1, from + length - 1).split('=')
    if ((key === 'path' || key === 'linkpath') && length > MAX_NAME_BYTES) {
      throw new ToolError('BAD_TAR', 'read tar: a name too long')
    }
    applyPax(overrides, key, value.join('='))
    from += length
  }
  return overrides
}

function applyPax(overrides: Overrides, key: string, value: string): void {
  if (key === 'path') overrides.path = value
  else if (key === 'linkpath') overrides.linkPath = value
  else if (key === 'size') overrides.sizeBytes = Number(value)
  else if (key.startsWith('GNU.sparse.')) overrides.sparse = true
}
