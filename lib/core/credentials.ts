// Removes credentials from the output of engines and registries. That output has URLs of
// proxies and redirects in it, with passwords, tokens and signatures, and the tools show
// it in terminals, logs and tickets. The rules do not ask whether a text is a secret:
// they cut whatever stands where a secret may stand. Each pattern has a maximum length,
// longer than any real secret, so that no text takes long to search.

const CUT = '***'

/** The query parameters of a URL that stay visible; the value of any other may be a key. */
const HARMLESS =
  /^(?:account|client_id|digest|expires|from|fromimage|last|manifests|mount|n|names|ns|offline_token|platform|quiet|s[eprtv]|scope|service|spr|tag|x-(?:amz|goog)-(?:algorithm|date|expires|signedheaders))$/i

// In `name@sha256:…` a digest follows the @, so what is before the @ is no password.
const NO_DIGEST = String.raw`(?!sha\d{3}:)`
const SCHEME = String.raw`(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,20}:\/\/`
const NAME = String.raw`[\w-]{0,40}(?:token|passw(?:or)?d|secret|signature|api[-_]?key)`

const RULES: readonly (readonly [RegExp, string])[] = [
  // https://user:password@host, https://token@host
  [
    new RegExp(String.raw`(${SCHEME})(?:[^\s/?#"\\]|\\[^\s/?#"]){1,8000}@${NO_DIGEST}`, 'gi'),
    `$1${CUT}@`,
  ],
  // The same with / ? or # in the password. Programs reject such a URL, but print it in
  // their error. The text after the colon is not a port, which tells it from a plain URL.
  [
    new RegExp(
      String.raw`(${SCHEME})(?=[^\s/?#"@:]{0,256}:(?!\d{1,5}(?:[/?#"\s,;)]|$)))[^\s"]{1,1000}@${NO_DIGEST}`,
      'gi',
    ),
    `$1${CUT}@`,
  ],
  // user:password@host, a way to write a proxy; not name:tag@sha256:…
  [
    new RegExp(
      String.raw`(?<![^\s"'/=,;()[])[^\s"'/@:=,;()[]{1,256}:[^\s"'/@]{1,1000}@${NO_DIGEST}(?=[\w[])`,
      'g',
    ),
    `${CUT}@`,
  ],
  // A URL inside another URL, percent-encoded.
  [/(%3A%2F%2F)(?:(?!%2F|%3F|%23|%40)[^\s"&]){1,8000}%40/gi, `$1${CUT}%40`],
  // Authorization: Bearer …, and `Bearer …` anywhere else.
  [
    /\b(authorization["']?\s{0,4}[:=]\s{0,4}["'[]{0,2}(?:bearer|basic|token)\s{1,4})[^\s"'\],]{1,8000}/gi,
    `$1${CUT}`,
  ],
  [/\b((?:bearer|basic)\s)[\w.~+/-]{16,8000}={0,2}/gi, `$1${CUT}`],
  // "token":"…", also with escaped quotes, as in JSON inside a string; token=…
  [new RegExp(String.raw`(\\?"${NAME}\\?"\s{0,2}:\s{0,2}\\?")[^"\\\s]{1,8000}`, 'gi'), `$1${CUT}`],
  [new RegExp(String.raw`(?<![\w?&#%-])(${NAME}=)[^\s"'&,;]{1,8000}`, 'gi'), `$1${CUT}`],
]

// ?token=…&X-Amz-Signature=…
const QUERY = /([?&#]|%3F|%26)([\w.~-]{1,64})(=|%3D)((?:(?!%26|:\s)[^\s"'&#<>\\]){1,8000})/gi

/**
 * @param text - the output of another program
 * @returns the text, with `***` in place of what may be user and password of a URL, a
 *   key in its query, or a token
 */
export function withoutCredentials(text: string): string {
  const cut = RULES.reduce((rest, [pattern, by]) => rest.replace(pattern, by), text)
  return cut.replace(QUERY, (whole, before: string, name: string, is: string) =>
    HARMLESS.test(name) ? whole : `${before}${name}${is}${CUT}`,
  )
}

/**
 * @param text - a text of any length
 * @param maxLength - the most characters to keep
 * @returns the end of the text. If the cut falls inside a word, the rest of that word is
 *   replaced by `…`, because it may be the end of a URL with a password. A rest of more
 *   than 2000 characters is not a URL, and stays.
 */
export function endOf(text: string, maxLength: number): string {
  return text.length <= maxLength ? text : text.slice(-maxLength).replace(/^\S{1,2000}(?!\S)/, '…')
}
