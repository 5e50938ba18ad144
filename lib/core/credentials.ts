// What engines and registries say has URLs in it, of proxies and of redirects, with
// passwords, tokens and signatures: they go to terminals, logs and tickets. Nothing
// here is to decide whether a text is a secret: all that stands where one may stand
// is cut, up to a length that no real one has, so that no text takes long.

const CUT = '***'

/** What is told of a URL's query; whatever else it has may be a key. */
const HARMLESS =
  /^(?:account|client_id|digest|expires|from|fromimage|last|manifests|mount|n|names|ns|offline_token|platform|quiet|s[eprtv]|scope|service|spr|tag|x-(?:amz|goog)-(?:algorithm|date|expires|signedheaders))$/i

// A digest follows an @ as well.
const NO_DIGEST = String.raw`(?!sha\d{3}:)`
const SCHEME = String.raw`(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,20}:\/\/`
const NAME = String.raw`[\w-]{0,40}(?:token|passw(?:or)?d|secret|signature|api[-_]?key)`

const RULES: readonly (readonly [RegExp, string])[] = [
  // https://user:password@host, https://token@host
  [
    new RegExp(String.raw`(${SCHEME})(?:[^\s/?#"\\]|\\[^\s/?#"]){1,8000}@${NO_DIGEST}`, 'gi'),
    `$1${CUT}@`,
  ],
  // The same with / ? or # in the password, which nothing accepts and all tell: what
  // follows the colon is no port.
  [
    new RegExp(
      String.raw`(${SCHEME})(?=[^\s/?#"@:]{0,256}:(?!\d{1,5}(?:[/?#"\s,;)]|$)))[^\s"]{1,1000}@${NO_DIGEST}`,
      'gi',
    ),
    `$1${CUT}@`,
  ],
  // user:password@host, as a proxy may be given; no name:tag@sha256:…
  [
    new RegExp(
      String.raw`(?<![^\s"'/=,;()[])[^\s"'/@:=,;()[]{1,256}:[^\s"'/@]{1,1000}@${NO_DIGEST}(?=[\w[])`,
      'g',
    ),
    `${CUT}@`,
  ],
  // A URL inside of another one.
  [/(%3A%2F%2F)(?:(?!%2F|%3F|%23|%40)[^\s"&]){1,8000}%40/gi, `$1${CUT}%40`],
  // Authorization: Bearer …, and the same anywhere else.
  [
    /\b(authorization["']?\s{0,4}[:=]\s{0,4}["'[]{0,2}(?:bearer|basic|token)\s{1,4})[^\s"'\],]{1,8000}/gi,
    `$1${CUT}`,
  ],
  [/\b((?:bearer|basic)\s)[\w.~+/-]{16,8000}={0,2}/gi, `$1${CUT}`],
  // "token":"…", also as a text within a text; token=…
  [new RegExp(String.raw`(\\?"${NAME}\\?"\s{0,2}:\s{0,2}\\?")[^"\\\s]{1,8000}`, 'gi'), `$1${CUT}`],
  [new RegExp(String.raw`(?<![\w?&#%-])(${NAME}=)[^\s"'&,;]{1,8000}`, 'gi'), `$1${CUT}`],
]

// ?token=…&X-Amz-Signature=…
const QUERY = /([?&#]|%3F|%26)([\w.~-]{1,64})(=|%3D)((?:(?!%26|:\s)[^\s"'&#<>\\]){1,8000})/gi

/**
 * @param text - what another program said
 * @returns it with `***` in place of what may be the user and password of a URL, a
 *   key in its query, or a token
 */
export function withoutCredentials(text: string): string {
  const cut = RULES.reduce((rest, [pattern, by]) => rest.replace(pattern, by), text)
  return cut.replace(QUERY, (whole, before: string, name: string, is: string) =>
    HARMLESS.test(name) ? whole : `${before}${name}${is}${CUT}`,
  )
}

/**
 * @param text - of any length
 * @param maxLength - in characters
 * @returns its end, without the rest of a word that is cut in two: it may be the end of
 *   a URL. Of a longer word than any URL the end stays.
 */
export function endOf(text: string, maxLength: number): string {
  return text.length <= maxLength ? text : text.slice(-maxLength).replace(/^\S{1,2000}(?!\S)/, '…')
}
