// Members that speak of the next member: GNU long names and pax records.
import { ToolError } from './errors.ts'

/** The type flags of members that describe the one after them. */
export const META_TYPES: ReadonlySet<string> = new Set(['x', 'g', 'L', 'K'])

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
  const text = content.toString('utf8').replace(/\0+$/, '')
  if (type === 'L') return { path: text }
  if (type === 'K') return { linkPath: text }
  return type === 'x' ? readPax(content) : {}
}

const NEWLINE = 0x0a

// "LENGTH KEY=VALUE\n", the length counting all of it, in bytes.
function readPax(content: Buffer): Overrides {
  const overrides: Overrides = {}
  for (let from = 0; from < content.length;) {
    const space = content.indexOf(0x20, from)
    const length = Number(content.toString('latin1', from, space))
    const isWhole = length > 0 && content[from + length - 1] === NEWLINE
    if (space === -1 || !isWhole) {
      throw new ToolError('BAD_TAR', 'read tar: a pax record of a wrong length')
    }
    const [key = '', ...value] = content.toString('utf8', space + 1, from + length - 1).split('=')
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
