// Makes foreign text safe for a terminal: names from tars and lists, messages of engines,
// metadata. Control characters can move the cursor, colour or hide the output of the
// tools, or imitate a line of it. Invisible characters make one name look like another.

/** Control characters (C0, DEL, C1), invisible ones, those that change the text direction, lone surrogates. */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu

const MAX_LENGTH = 2000

/**
 * @param text - one line
 * @param maxLength - the most characters; a longer text loses its middle
 * @returns the text, with an escape such as `\x1b`, `\n` or `\u{200b}` for each hidden character
 */
export function visible(text: string, maxLength = MAX_LENGTH): string {
  return shorten(text, maxLength).replaceAll(HIDDEN, escape)
}

/** @returns whether a text has control characters, or characters that change the text direction. */
export function hasControls(text: string): boolean {
  return /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u.test(text)
}

/** @returns the value as JSON, with `\uXXXX` for each hidden character. */
export function visibleJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(HIDDEN, (character) =>
    // JSON writes a character beyond U+FFFF as two surrogates; it has no other escape for it.
    character
      .split('')
      .map((half) => `\\u${hex(half.charCodeAt(0), 4)}`)
      .join(''),
  )
}

/** @returns the text, with `…` in place of its middle if it has more than `maxLength` characters. */
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
