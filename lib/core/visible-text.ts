// Text from elsewhere for a terminal: names in tars and lists, what engines and
// metadata say. A control character in it could move the cursor, colour or hide what
// the tools say, or seem to be a line of theirs; an invisible one changes what it
// seems to be.

/** C0, DEL, C1, and what is invisible or changes the direction of what follows; halves of characters too. */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu

const MAX_LENGTH = 2000

/**
 * @param text - one line
 * @param maxLength - in characters; of a longer one the middle is left out
 * @returns it with `\x1b`, `\n` or `\u{200b}` in place of what is not to be seen
 */
export function visible(text: string, maxLength = MAX_LENGTH): string {
  return shorten(text, maxLength).replaceAll(HIDDEN, escape)
}

/** @returns whether a text has control characters, or changes the direction of what follows. */
export function hasControls(text: string): boolean {
  return /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u.test(text)
}

/** @returns JSON of the same value that has nothing hidden in it. */
export function visibleJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(HIDDEN, (character) =>
    // By halves: JSON knows no other way to name a character beyond U+FFFF.
    character
      .split('')
      .map((half) => `\\u${hex(half.charCodeAt(0), 4)}`)
      .join(''),
  )
}

/** @returns a text as it is, or without its middle where it has more characters than that. */
export function shorten(text: string, maxLength: number): string {
  if (text.length <= maxLength) return text
  const half = Math.floor((maxLength - 1) / 2)
  return `${text.slice(0, half)}…${text.slice(-half)}`
}

const NAMED: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

function escape(character: string): string {
  const code = character.codePointAt(0) ?? 0
  return NAMED[character] ?? (code < 0x100 ? `\\x${hex(code, 2)}` : `\\u{${hex(code, 1)}}`)
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, '0')
}
