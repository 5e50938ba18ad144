// Finds keys that engines read in another way than JSON.parse. Go's library, which engines
// use, merges the values of two equal keys, and takes `repotags` for `RepoTags`. Such keys
// could hide from the tools what an engine sees.

/**
 * @param text - valid JSON
 * @param known - the keys that an engine reads
 * @returns the first key that an object has twice, or that differs from a known key only in
 *   case; undefined if there is none
 */
export function findOddKey(text: string, known: readonly string[]): string | undefined {
  const spelled = new Map(known.map((key) => [fold(key), key]))
  const objects: Set<string>[] = []
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    if (character === '{') objects.push(new Set())
    else if (character === '}') objects.pop()
    else if (character === '"') {
      const end = endOfString(text, at)
      const key = isKey(text, end) ? String(JSON.parse(text.slice(at, end))) : undefined
      at = end - 1
      if (key === undefined) continue
      const others = objects.at(-1)
      if (others?.has(key) || (spelled.get(fold(key)) ?? key) !== key) return key
      others?.add(key)
    }
  }
  return undefined
}

// Returns the offset after the closing quote.
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '\\') at++
    else if (text[at] === '"') return at + 1
  }
  return text.length
}

function isKey(text: string, end: number): boolean {
  let at = end
  while (SPACE.has(text[at] ?? '')) at++
  return text[at] === ':'
}

const SPACE = new Set([' ', '\t', '\r', '\n'])

// Go folds `ſ` to `s` too. Upper case first does the same: `ſ` becomes `S`, then `s`.
function fold(key: string): string {
  return key.toUpperCase().toLowerCase()
}
