// Reads meta members, which describe the next member: GNU long names and pax records.
import { ToolError } from '../core/errors.ts'

/** The type flags of meta members; the records of `g` are for all members after it. */
export const META_TYPES: ReadonlySet<string> = new Set(['x', 'g', 'L', 'K'])

/** The longest path or link target; no system takes a longer one. */
export const MAX_NAME_BYTES = 64 * 1024

/** The values that replace those in the header of the next member. */
export interface Overrides {
  path?: string
  linkPath?: string
  sizeBytes?: number
  sparse?: boolean
}

/**
 * @param type - the type flag of the meta member
 * @param content - the content of the meta member
 * @returns the values for the next member; none for `g`, whose records are not used
 * @throws BAD_TAR if a pax record has a wrong length, or a name is too long
 */
export function readMeta(type: string, content: Buffer): Overrides {
  if (type === 'L') return { path: readName(content) }
  if (type === 'K') return { linkPath: readName(content) }
  return type === 'x' ? readPax(content) : {}
}

// A NUL ends the name.
function readName(content: Buffer): string {
  const end = content.indexOf(0)
  return content.toString('utf8', 0, end === -1 ? content.length : end)
}

const NEWLINE = 0x0a

// A record is "LENGTH KEY=VALUE\n". LENGTH is the size of the whole record in bytes.
function readPax(content: Buffer): Overrides {
  const overrides: Overrides = {}
  for (let from = 0; from < content.length;) {
    const space = content.indexOf(0x20, from)
    // A length has at most 15 digits: a real one is much shorter.
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
