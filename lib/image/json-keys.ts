// Engines read JSON with Go's library: of two equal keys it takes parts of both, and it
// takes `repotags` for `RepoTags`. What is read otherwise here must not be hidden so.

/**
 * @param text - JSON
 * @param known - keys that an engine reads
 * @returns a key that stands in one object twice, or is a known one but for its case
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

// Behind its closing quote.
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

// By upper case first: `ſ` is an s to Go, too.
function fold(key: string): string {
  return key.toUpperCase().toLowerCase()
}
