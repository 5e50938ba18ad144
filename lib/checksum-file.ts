// SHA256SUMS, as `sha256sum` writes and `sha256sum -c` reads it. Lines that
// are not ours stay as they are, whatever the encoding of the names in them.

/** sha256 in hex by file name. */
export type Checksums = ReadonlyMap<string, string>

/** How the file is read and written: each byte is a character. */
export const SUMS_ENCODING = 'latin1'

const LINE = /^(?<escaped>\\?)(?<sha256>[0-9a-f]{64}) [ *](?:\.\/)?(?<name>.+)$/i

/**
 * @param text - what `sha256sum` wrote, in {@link SUMS_ENCODING}; CRLF is accepted
 * @returns the checksums of the lines that are such; others are passed over
 * @see https://www.gnu.org/software/coreutils/manual/html_node/cksum-output-modes.html
 */
export function parseChecksums(text: string): Map<string, string> {
  const sums = new Map<string, string>()
  for (const line of text.split(/\r?\n/)) {
    const entry = parseLine(line)
    if (entry) sums.set(entry.name, entry.sha256)
  }
  return sums
}

/**
 * @param text - the file so far
 * @param changes - new checksums by name; undefined takes a name out
 * @returns the file with the changes, the names that are new at its end
 */
export function updateChecksums(
  text: string,
  changes: ReadonlyMap<string, string | undefined>,
): string {
  const kept = text.split(/\r?\n/).filter((line) => {
    const name = parseLine(line)?.name
    return line !== '' && !(name !== undefined && changes.has(name))
  })
  const added = [...changes].flatMap(([name, sha256]) =>
    sha256 === undefined ? [] : [formatLine(name, sha256)],
  )
  return [...kept, ...added].map((line) => `${line}\n`).join('')
}

function parseLine(line: string): { name: string; sha256: string } | undefined {
  const { escaped, sha256: hex, name: bytes } = LINE.exec(line)?.groups ?? {}
  if (hex === undefined || bytes === undefined) return undefined
  const sha256 = hex.toLowerCase()
  const name = Buffer.from(bytes, SUMS_ENCODING).toString()
  if (!escaped) return { name, sha256 }
  const plain = name.replaceAll(/\\[n\\]/g, (pair) => (pair === '\\n' ? '\n' : '\\'))
  return { name: plain, sha256 }
}

function formatLine(name: string, sha256: string): string {
  const escaped = name.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
  const bytes = Buffer.from(escaped).toString(SUMS_ENCODING)
  return `${escaped === name ? '' : '\\'}${sha256}  ${bytes}`
}
