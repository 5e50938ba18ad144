// Which layer a member of a tar is, told by its header: what is known by then
// need not be compressed. A name may be a digest; else only the size speaks,
// and the digest of the content decides when all of it went past.
import type { CachedLayer } from '../delivery/metadata.ts'
import { toDigest } from '../image/digest.ts'
import type { TarMember } from '../tar/parser.ts'

/** The size from which a layer gets its own segment. */
export const MIN_LAYER_BYTES = 1024 * 1024

/** A member was not the layer that it seemed to be: the caller tries again without that match. */
export class MatchFailed extends Error {
  /** The path of a member or of an archive. */
  readonly about: string

  /** @param about - the member or archive that is not to be trusted any more */
  constructor(about: string, message: string) {
    super(message)
    this.about = about
  }
}

// `<v1 id>/layer.tar`, `<diffID>.tar`, `blobs/sha256/<digest>`, `<digest>.tar.gz`
const LAYER_PATH = /(?:^|\/)layer\.tar$|(?:^|[/:])[0-9a-f]{64}(?:\.tar(?:\.gz)?)?$/
const NAMED = /(?:^|[/:])(?<hex>[0-9a-f]{64})(?:\.tar(?:\.gz)?)?$/

/** @returns whether a member may be a layer, and is large enough for its own segment */
export function looksLikeLayer({ path, type, sizeBytes, sparse }: TarMember): boolean {
  const isNamedSo = path.length <= 100 && LAYER_PATH.test(path)
  return type === '0' && !sparse && sizeBytes >= MIN_LAYER_BYTES && isNamedSo
}

/** @returns whether the name of a member is a digest, and so says which layer it should be */
export function isNamedByDigest({ path }: TarMember): boolean {
  return NAMED.test(path)
}

/**
 * @param known - the layers to look for
 * @param expected - the layers that a member without a digest in its name can be; any if
 *   undefined
 * @returns whether the member is one of the known layers by its name, or may be one by its size
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
