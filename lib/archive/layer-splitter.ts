// A tar as it goes past, into segments: each large layer is one, and what lies
// between two of them. A layer that is known to be elsewhere is copied from
// there, or left out, once its digest has shown that it is that layer.
import type { DeliveredLayer } from '../delivery/delivered-layers.ts'
import type { IndexedLayer } from '../delivery/layer-index.ts'
import type { CachedLayer } from '../delivery/metadata.ts'
import { toDigest, type Digest } from '../image/digest.ts'
import { TarDigester, type DigestedMember, type MemberTap, type TarDigest } from '../tar/digest.ts'
import type { TarMember } from '../tar/parser.ts'
import type { Treatment } from '../tar/transform.ts'
import { isCachedLayer, isNamedByDigest, looksLikeLayer, MatchFailed } from './layer-match.ts'
import type { OpenSegment, SegmentWriter } from './segment-writer.ts'

/** The layers that are known before a tar is read. */
export interface KnownLayers {
  /** Layers that can be copied from other archives. */
  readonly reuse: readonly IndexedLayer[]
  /** Layers to leave out, by digest. */
  readonly excluded: ReadonlyMap<string, DeliveredLayer>
  /** The layers of the image, if they are known. */
  readonly expected?: ReadonlySet<string> | undefined
}

/** How to split a tar. */
export interface SplitOptions extends KnownLayers {
  readonly normalize: boolean
  /** Receives all members. */
  readonly tap?: MemberTap | undefined
  /** Paths of members and archives that caused a failed match in an earlier try. */
  readonly denylist: ReadonlySet<string>
}

/** The layers that were copied or skipped. */
export interface LayerCut {
  readonly reused: readonly IndexedLayer[]
  readonly skipped: readonly { readonly member: TarMember; readonly layer: DeliveredLayer }[]
}

interface Current {
  readonly member: TarMember | undefined
  /** Undefined if the layer is to be copied. */
  readonly segment: OpenSegment | undefined
}

/** The entry in the denylist for all matches by size alone. */
const BY_SIZE = ''
// More than any image has; metadata has a limit on its segments.
const MAX_LAYERS = 4000

/** Splits a tar at its layers while it is read, and writes the segments with a writer. */
export class LayerSplitter {
  readonly #writer: SegmentWriter
  readonly #options: SplitOptions
  readonly #digester: TarDigester
  /** Layers that other archives have, by digest. */
  readonly #indexed: ReadonlyMap<string, IndexedLayer>
  /**
   * The layers that a match by size may find; any if undefined. After a failed match by size
   * without such a list, none.
   */
  readonly #expected: ReadonlySet<string> | undefined
  /** Digests of the layers so far, by the offset of their members. */
  readonly #digests = new Map<number, Digest>()
  /** Offsets of the members that are not written. */
  readonly #passedOver = new Set<number>()
  readonly #reused: IndexedLayer[] = []
  readonly #skipped: { member: TarMember; layer: DeliveredLayer }[] = []
  #current: Current | undefined

  constructor(writer: SegmentWriter, options: SplitOptions) {
    this.#writer = writer
    this.#options = options
    this.#expected = options.denylist.has(BY_SIZE) ? new Set() : options.expected
    this.#indexed = indexByDigest(options)
    this.#digester = new TarDigester({
      normalize: options.normalize,
      md5: true,
      treat: (member) => this.#treat(member),
      tap: options.tap,
      onMember: (member) => this.#onMember(member),
    })
  }

  /**
   * @throws BAD_TAR if the tar is damaged; {@link MatchFailed} if a member is not the layer
   *   that it seemed to be
   */
  async write(chunk: Buffer): Promise<void> {
    for (const { bytes, member } of this.#digester.write(chunk)) {
      if (!this.#current || this.#current.member !== member) {
        await this.#close()
        this.#current = await this.#begin(member)
      }
      await this.#current.segment?.write(bytes)
    }
  }

  /** @throws TRUNCATED_TAR if the tar stops before its end; {@link MatchFailed} */
  async end(): Promise<{ tar: TarDigest; cut: LayerCut }> {
    const tar = this.#digester.end()
    await this.#close()
    return { tar, cut: { reused: this.#reused, skipped: this.#skipped } }
  }

  #treat(member: TarMember): Treatment {
    if (!looksLikeLayer(member) || this.#digests.size >= MAX_LAYERS) return 'inline'
    if (!this.#isCached(member, this.#options.excluded.values())) return 'own segment'
    this.#passedOver.add(member.offsetBytes)
    return 'skipped'
  }

  #onMember(member: DigestedMember): void {
    const digest = toDigest(member.sha256)
    if (!this.#passedOver.has(member.offsetBytes)) {
      if (looksLikeLayer(member)) this.#digests.set(member.offsetBytes, digest)
      return
    }
    const layer = this.#options.excluded.get(digest)
    if (!layer) throw this.#mismatchError(member)
    this.#skipped.push({ member, layer })
  }

  #isCached(member: TarMember, known: Iterable<CachedLayer>): boolean {
    const isDenied = this.#options.denylist.has(member.path)
    return !isDenied && isCachedLayer(member, known, this.#expected)
  }

  async #begin(member: TarMember | undefined): Promise<Current> {
    const isIndexed = member && this.#isCached(member, this.#indexed.values())
    const segment = isIndexed ? undefined : await this.#writer.begin(member?.sizeBytes)
    return { member, segment }
  }

  async #close(): Promise<void> {
    if (!this.#current) return
    const { member, segment } = this.#current
    const digest = member && this.#digests.get(member.offsetBytes)
    if (segment) return segment.close(digest)
    const layer = digest && this.#indexed.get(digest)
    if (!layer) throw this.#mismatchError(member)
    this.#reused.push(layer)
    this.#writer.copy(layer)
  }

  // If a name or one of the image's own layers caused the failed match, only that member goes
  // on the denylist. If a size alone did, all matches by size are given up.
  #mismatchError(member: TarMember | undefined): MatchFailed {
    const path = String(member?.path)
    const isBySize = !this.#options.expected && member && !isNamedByDigest(member)
    const what = member && isNamedByDigest(member) ? 'name and size' : 'the size'
    return new MatchFailed(
      isBySize ? BY_SIZE : path,
      `"${path}" has ${what} of a layer that is known, but is another`,
    )
  }
}

// If several archives have a layer, the first one is used.
function indexByDigest({ reuse, denylist }: SplitOptions): Map<string, IndexedLayer> {
  const trusted = reuse.filter((layer) => !denylist.has(layer.archive))
  return new Map(trusted.toReversed().map((layer) => [layer.digest, layer]))
}
