// SHA256SUMS, as `sha256sum` writes and `sha256sum -c` reads it. Lines that
// are not ours stay as they are, whatever the encoding of the names in them, unless
// the file may be another one under this name: then only checksums are kept.

/** sha256 in hex by file name. */
export type Checksums = ReadonlyMap<string, string>

/** How the file is read and written: each byte is a character. */
export const SUMS_ENCODING = 'latin1'

// As `sha256sum --tag` and BSD write it.
const TAGGED = /^(?<escaped>\\?)SHA256 \((?:\.\/)*(?<name>.+)\) = (?<sha256>[0-9a-f]{64})$/i
const LINE = /^(?<escaped>\\?)(?<sha256>[0-9a-f]{64}) [ *](?:\.\/+)*(?<name>.+)$/i

/**
 * @param text - what `sha256sum` wrote, in {@link SUMS_ENCODING}; CRLF is accepted
 * @returns the checksums of the lines that are such; others are passed over
 * @see https://www.gnu.org/software/coreutils/manual/html_node/cksum-output-modes.html
 */
export function parseChecksums(text: string): Map<string, string> {
  return new Map(parseLines(text).map(({ name, sha256 }) => [name, sha256]))
}

/**
 * @param text - as for {@link parseChecksums}
 * @returns the names that have lines with different checksums, each once, in the order of the file
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

/** A file that is listed. */
export interface ListedFile {
  readonly name: string
  /** The name as the file system has it: in any encoding, or none. */
  readonly bytes: Buffer
}

/**
 * @param text - as for {@link parseChecksums}
 * @returns the files of its lines, each once
 */
export function listFiles(text: string): ListedFile[] {
  return [...new Map(parseLines(text).map((file) => [file.bytes.toString('hex'), file])).values()]
}

function parseLines(text: string): Line[] {
  return text.split(/\r?\n/).flatMap((line) => parseLine(line) ?? [])
}

/** What becomes of lines that are no checksums. */
export interface OtherLines {
  /**
   * Whether they stay. They must not where the file may hold what is not meant for
   * whoever reads the new one: one of another user, or one with a second name.
   */
  readonly keepOthers?: boolean
}

/**
 * @param text - the file so far
 * @returns the file without the lines of those files, by the bytes of their names
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
 * @param changes - new checksums by name; undefined takes a name out
 * @returns the file with the changes, the names that are new at its end
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

// Carriage returns are escaped from coreutils 9.0 on.
const ESCAPED: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r' }
const UNESCAPED: Readonly<Record<string, string>> = { '\\\\': '\\', '\\n': '\n', '\\r': '\r' }

function formatLine(name: string, sha256: string): string {
  const escaped = name.replaceAll(/[\\\n\r]/g, (character) => ESCAPED[character] ?? '')
  const bytes = Buffer.from(escaped).toString(SUMS_ENCODING)
  return `${escaped === name ? '' : '\\'}${sha256}  ${bytes}`
}
