// Which layer a member of a tar is, told by its header: what is known by then
// need not be compressed. A name may be a digest; else only the size speaks,
// and the digest of the content decides when all of it went past.
import { toDigest } from '../image/digest.ts'
import type { CachedLayer } from '../delivery/metadata.ts'
import type { TarMember } from '../tar/parser.ts'

/** A layer of at least this size has a segment of its own. */
export const MIN_LAYER_BYTES = 1024 * 1024

/** A layer was not what it seemed to be: to be tried again without trust in that. */
export class MatchFailed extends Error {
  /** Path of a member, or of an archive. */
  readonly about: string

  /** @param about - what not to trust any more */
  constructor(about: string, message: string) {
    super(message)
    this.about = about
  }
}

// `<v1 id>/layer.tar`, `<diffID>.tar`, `blobs/sha256/<digest>`, `<digest>.tar.gz`
const LAYER_PATH = /(?:^|\/)layer\.tar$|(?:^|[/:])[0-9a-f]{64}(?:\.tar(?:\.gz)?)?$/
const NAMED = /(?:^|[/:])(?<hex>[0-9a-f]{64})(?:\.tar(?:\.gz)?)?$/

/** @returns whether a member may be a layer, and is large enough to be worth a segment. */
export function looksLikeLayer({ path, type, sizeBytes, sparse }: TarMember): boolean {
  const isNamedSo = path.length <= 100 && LAYER_PATH.test(path)
  return type === '0' && !sparse && sizeBytes >= MIN_LAYER_BYTES && isNamedSo
}

/** @returns whether a member's name tells a digest, and so which layer it should be. */
export function isNamedByDigest({ path }: TarMember): boolean {
  return NAMED.test(path)
}

/**
 * @param known - layers to be looked for
 * @param expected - those that a member without a telling name can be at all
 * @returns whether the member is one of them by its name, or may be by its size
 */
export function isCachedLayer(
  member: TarMember,
  known: Iterable<CachedLayer>,
  expected?: ReadonlySet<string>,
): boolean {
  const hex = NAMED.exec(member.path)?.groups?.['hex']
  for (const { digest, sizeBytes } of known) {
    if (sizeBytes !== member.sizeBytes) continue
    if (hex === undefined ? (expected?.has(digest) ?? true) : digest === toDigest(hex)) return true
  }
  return false
}
