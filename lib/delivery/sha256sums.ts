// Reads and changes SHA256SUMS, in the format of `sha256sum` and `sha256sum -c`. Lines with
// other content stay, in any encoding, unless the file may belong to somebody else: then only
// checksums are kept.

/** The sha256 of files, in hex, by file name. */
export type Checksums = ReadonlyMap<string, string>

/**
 * The encoding to read and write the file with: each byte is one character, so names in any
 * encoding survive.
 */
export const SUMS_ENCODING = 'latin1'

// The formats of `sha256sum --tag` and BSD, and of plain `sha256sum`.
const TAGGED = /^(?<escaped>\\?)SHA256 \((?:\.\/)*(?<name>.+)\) = (?<sha256>[0-9a-f]{64})$/i
const LINE = /^(?<escaped>\\?)(?<sha256>[0-9a-f]{64}) [ *](?:\.\/+)*(?<name>.+)$/i

/**
 * @param text - a checksum file, in {@link SUMS_ENCODING}; CRLF is accepted
 * @returns the checksums in it; lines with other content are ignored
 * @see https://www.gnu.org/software/coreutils/manual/html_node/cksum-output-modes.html
 */
export function parseChecksums(text: string): Map<string, string> {
  return new Map(parseLines(text).map(({ name, sha256 }) => [name, sha256]))
}

/**
 * @param text - a checksum file, as for {@link parseChecksums}
 * @returns the names that have lines with different checksums, each once, in the order of the
 *   file
 */
export function findConflicts(text: string): string[] {
  const first = new Map<string, string>()
  const conflicts = new Map<string, string>()
  for (const { name, bytes, sha256 } of parseLines(text)) {
    const key = bytes.toString('hex')
    const before = first.get(key)
    if (before === undefined) first.set(key, sha256)
    else if (before !== sha256) conflicts.set(key, name)
  }
  return [...conflicts.values()]
}

/** A file that SHA256SUMS lists. */
export interface ListedFile {
  readonly name: string
  /** The name as bytes, as the file system has it: the bytes need not be valid UTF-8. */
  readonly bytes: Buffer
}

/**
 * @param text - a checksum file, as for {@link parseChecksums}
 * @returns the files that it lists, each once
 */
export function listFiles(text: string): ListedFile[] {
  return [...new Map(parseLines(text).map((file) => [file.bytes.toString('hex'), file])).values()]
}

function parseLines(text: string): Line[] {
  return text.split(/\r?\n/).flatMap((line) => parseLine(line) ?? [])
}

/** What to do with lines that are not checksums. */
export interface OtherLines {
  /**
   * Whether to keep them; default true. They must go if the file belongs to another user or has
   * a second name: it may then hold secrets, which readers of the new file must not see.
   */
  readonly keepOthers?: boolean
}

/**
 * @param text - the file so far
 * @param files - the files to remove, compared by the bytes of their names
 * @returns the text without the lines of these files
 */
export function dropFiles(
  text: string,
  files: readonly ListedFile[],
  others: OtherLines = {},
): string {
  const dropped = new Set(files.map(({ bytes }) => bytes.toString('hex')))
  const isKept = ({ bytes }: Line): boolean => !dropped.has(bytes.toString('hex'))
  return joinLines(keepLines(text, isKept, others))
}

/**
 * @param text - the file so far
 * @param changes - the new checksum for each name; undefined removes the name
 * @returns the text with these changes; the changed lines are at its end
 */
export function updateChecksums(
  text: string,
  changes: ReadonlyMap<string, string | undefined>,
  others: OtherLines = {},
): string {
  const kept = keepLines(text, ({ name }) => !changes.has(name), others)
  const added = [...changes].flatMap(([name, sha256]) =>
    sha256 === undefined ? [] : [formatLine(name, sha256)],
  )
  return joinLines([...kept, ...added])
}

function keepLines(
  text: string,
  isKept: (line: Line) => boolean,
  { keepOthers = true }: OtherLines,
): string[] {
  return text.split(/\r?\n/).filter((line) => {
    const listed = parseLine(line)
    return listed ? isKept(listed) : keepOthers && line !== ''
  })
}

function joinLines(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('')
}

interface Line extends ListedFile {
  readonly sha256: string
}

function parseLine(line: string): Line | undefined {
  const {
    escaped,
    sha256: hex,
    name: written,
  } = (LINE.exec(line) ?? TAGGED.exec(line))?.groups ?? {}
  if (hex === undefined || written === undefined) return undefined
  const plain = escaped ? written.replaceAll(/\\[nr\\]/g, (pair) => UNESCAPED[pair] ?? '') : written
  const bytes = Buffer.from(plain, SUMS_ENCODING)
  return { name: bytes.toString(), bytes, sha256: hex.toLowerCase() }
}

// coreutils escapes carriage returns since version 9.0.
const ESCAPED: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r' }
const UNESCAPED: Readonly<Record<string, string>> = { '\\\\': '\\', '\\n': '\n', '\\r': '\r' }

function formatLine(name: string, sha256: string): string {
  const escaped = name.replaceAll(/[\\\n\r]/g, (character) => ESCAPED[character] ?? '')
  const bytes = Buffer.from(escaped).toString(SUMS_ENCODING)
  return `${escaped === name ? '' : '\\'}${sha256}  ${bytes}`
}
