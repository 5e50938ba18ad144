// A tar as it goes past, into segments: each large layer is one, and what lies
// between two of them. A layer that is known to be elsewhere is copied from
// there, or left out, once its digest has shown that it is that layer.
import type { DeliveredLayer } from '../delivery/delivered-layers.ts'
import type { IndexedLayer } from '../delivery/layer-index.ts'
import type { CachedLayer } from '../delivery/metadata.ts'
import { isCachedLayer, isNamedByDigest, looksLikeLayer, MatchFailed } from './layer-match.ts'
import type { OpenSegment, SegmentWriter } from './segment-writer.ts'
import { digestTar, type DigestedMember, type MemberTap, type TarDigest } from '../tar/digest.ts'
import type { TarMember } from '../tar/parser.ts'
import type { Treatment } from '../tar/transform.ts'

/** How to cut. */
export interface SplitOptions {
  readonly normalize: boolean
  /** Gets all members. */
  readonly tap?: MemberTap | undefined
  readonly reuse: readonly IndexedLayer[]
  readonly excluded: ReadonlyMap<string, DeliveredLayer>
  /** The layers of the image, where they are known before. */
  readonly expected?: ReadonlySet<string> | undefined
  /** Paths of members and of archives that misled an earlier try. */
  readonly denylist: ReadonlySet<string>
}

/** What became of the layers that were known before. */
export interface LayerCut {
  readonly reused: readonly IndexedLayer[]
  readonly skipped: readonly { readonly member: TarMember; readonly layer: DeliveredLayer }[]
}

/** A tar being cut. */
export interface LayerSplitter {
  /** @throws BAD_TAR, {@link MatchFailed} */
  write(chunk: Buffer): Promise<void>
  /** @throws TRUNCATED_TAR */
  end(): Promise<{ tar: TarDigest; cut: LayerCut }>
}

interface Current {
  readonly member: TarMember | undefined
  /** Undefined if the layer is to be copied. */
  readonly segment: OpenSegment | undefined
}

/** What is not to be trusted where no member can be told by its size. */
const BY_SIZE = ''
// More than any image has; metadata names no more than so many segments.
const MAX_LAYERS = 4000

/** @returns a cutter that writes to a writer. */
export function splitLayers(writer: SegmentWriter, options: SplitOptions): LayerSplitter {
  const { excluded, expected, denylist, tap } = options
  // Where nothing says which layers there can be, one wrong guess is enough.
  const bySize = denylist.has(BY_SIZE) ? new Set<string>() : expected
  const indexed = new Map(
    options.reuse
      .filter((layer) => !denylist.has(layer.archive))
      // The first one that has it counts.
      .toReversed()
      .map((layer) => [layer.digest, layer]),
  )
  const reused: IndexedLayer[] = []
  const skipped: { member: TarMember; layer: DeliveredLayer }[] = []
  const digests = new Map<number, string>()
  const passedOver = new Set<number>()
  let current: Current | undefined

  const isCached = (member: TarMember, known: Iterable<CachedLayer>): boolean =>
    !denylist.has(member.path) && isCachedLayer(member, known, bySize)

  function treat(member: TarMember): Treatment {
    if (!looksLikeLayer(member) || digests.size >= MAX_LAYERS) return 'inline'
    if (!isCached(member, excluded.values())) return 'own segment'
    passedOver.add(member.offsetBytes)
    return 'skipped'
  }
  function onMember(member: DigestedMember): void {
    const digest = `sha256:${member.sha256}`
    if (!passedOver.has(member.offsetBytes)) {
      if (looksLikeLayer(member)) digests.set(member.offsetBytes, digest)
      return
    }
    const layer = excluded.get(digest)
    if (!layer) throw mismatchError(member)
    skipped.push({ member, layer })
  }
  async function begin(member: TarMember | undefined): Promise<Current> {
    const isIndexed = member && isCached(member, indexed.values())
    return { member, segment: isIndexed ? undefined : await writer.begin(member?.sizeBytes) }
  }
  async function close(): Promise<void> {
    if (!current) return
    const { member, segment } = current
    const digest = member && digests.get(member.offsetBytes)
    if (segment) return segment.close(digest)
    const layer = digest && indexed.get(digest)
    if (!layer) throw mismatchError(member)
    reused.push(layer)
    writer.copy(layer)
  }

  // A name that misled says nothing of other members; a size alone says it of all of
  // them, unless only the layers of the image could be meant.
  function mismatchError(member: TarMember | undefined): MatchFailed {
    const path = String(member?.path)
    const isBySize = !expected && member && !isNamedByDigest(member)
    const what = member && isNamedByDigest(member) ? 'name and size' : 'the size'
    return new MatchFailed(
      isBySize ? BY_SIZE : path,
      `"${path}" has ${what} of a layer that is known, but is another`,
    )
  }

  const digester = digestTar({ normalize: options.normalize, md5: true, treat, tap, onMember })
  return {
    async write(chunk) {
      for (const { bytes, member } of digester.write(chunk)) {
        if (!current || current.member !== member) {
          await close()
          current = await begin(member)
        }
        await current.segment?.write(bytes)
      }
    },
    async end() {
      const tar = digester.end()
      await close()
      return { tar, cut: { reused, skipped } }
    },
  }
}
