// Parses image references, in the grammar of `docker pull`. They become part of command
// lines and file names, so anything outside the grammar is refused.
import { withoutCredentials } from '../core/credentials.ts'
import { ToolError } from '../core/errors.ts'
import { shorten, visible } from '../core/visible-text.ts'

/** A parsed image reference. */
export interface ImageReference {
  /** The text that was parsed. */
  readonly text: string
  /** Registry and repository as in the text, without tag and digest. */
  readonly name: string
  /** Host and port of the registry; `docker.io` if the text has none. */
  readonly registry: string
  /** The tag; `latest` if the text has neither tag nor digest; undefined if it has only a digest. */
  readonly tag: string | undefined
  /** The digest, `sha256:…`, or undefined if the text has none. */
  readonly digest: string | undefined
}

const HOST = String.raw`(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::\d+)?`
const COMPONENT = String.raw`[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*`
// The most characters of a reference: 255 of a name, 128 of a tag, and a digest fit in.
const MAX_LENGTH = 512
// The most characters of an invalid name to show: it may be a line of any file.
const MAX_SHOWN = 80
const REFERENCE = new RegExp(
  `^(?<name>(?:(?<host>${HOST})/)?${COMPONENT}(?:/${COMPONENT})*)` +
    String.raw`(?::(?<tag>\w[\w.-]{0,127}))?(?:@(?<digest>sha256:[0-9a-f]{64}))?$`,
)

/**
 * @param text - `[registry/]repository[:tag][@sha256:…]`
 * @returns the parts of the reference
 * @throws BAD_REFERENCE if `docker pull` would not take it
 * @see https://github.com/distribution/reference
 */
export function parseReference(text: string): ImageReference {
  const read = readReference(text)
  if (read instanceof ToolError) throw read
  return read
}

/** @returns the reference, or the error that {@link parseReference} throws. */
export function readReference(text: string): ImageReference | ToolError {
  if (text.length > MAX_LENGTH) return tooLong(text)
  const groups = REFERENCE.exec(text)?.groups
  const name = groups?.['name']
  const host = groups?.['host']
  if (!name || name.length > 255 || !isHost(host) || isImageId(text)) {
    return new ToolError(
      'BAD_REFERENCE',
      `not a valid image name: "${visible(withoutCredentials(text), MAX_SHOWN)}"`,
      {
        hint: hint(text),
      },
    )
  }
  const digest = groups?.['digest']
  return {
    text,
    name,
    registry: host !== undefined && isRegistry(host) ? host : 'docker.io',
    tag: groups?.['tag'] ?? (digest === undefined ? 'latest' : undefined),
    digest,
  }
}

function tooLong(text: string): ToolError {
  const shown = withoutCredentials(text.slice(0, 16 * MAX_LENGTH)).slice(0, MAX_SHOWN)
  const message = `not a valid image name: "${visible(shown)}…": got ${text.length} characters, want at most ${MAX_LENGTH}`
  return new ToolError('BAD_REFERENCE', message, { hint: hint('') })
}

/** @returns `name:tag`, the name of the image in the engine; undefined if it has no tag. */
export function taggedName(reference: ImageReference): string | undefined {
  return reference.tag && `${reference.name}:${reference.tag}`
}

/** @returns a name without `docker.io/`, `localhost/` and `library/`, which only some engines write. */
export function familiarName(name: string): string {
  return name.replace(/^(?:(?:index\.)?docker\.io|localhost)\//, '').replace(/^library\//, '')
}

/** @returns the name to pull: by digest if the reference has one, else by tag. */
export function pullName(reference: ImageReference): string {
  return reference.digest
    ? `${reference.name}@${reference.digest}`
    : `${reference.name}:${reference.tag}`
}

// The first part is a registry only if it looks like a host. Docker reads `Foo/bar` as a
// repository with a capital letter, which is not allowed.
function isHost(host: string | undefined): boolean {
  return host === undefined || isRegistry(host) || host === host.toLowerCase()
}

function isRegistry(host: string): boolean {
  return /[.:]/.test(host) || host === 'localhost'
}

function isImageId(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text)
}

function hint(text: string): string {
  const lower = text.toLowerCase()
  return lower !== text && REFERENCE.test(lower)
    ? `repository names are lower case: ${shorten(lower, MAX_SHOWN)}`
    : 'write it as for docker pull: [registry/]repository[:tag][@sha256:digest]'
}
