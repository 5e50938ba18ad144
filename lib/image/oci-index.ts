// Normalizes `index.json`, which names the contents of an OCI layout. No digest covers it, so
// the data that a store adds about its own host can be removed.
import * as v from 'valibot'

import { memberKey } from '../tar/digest.ts'
import type { TarMember } from '../tar/parser.ts'
import { parseText } from './members.ts'

// The start of annotations with the repositories that a manifest was pulled from on this host.
const OF_HOST = 'containerd.io/distribution.source.'
const MAX_INDEX_BYTES = 8 * 1024 * 1024

const Annotated = v.looseObject({ annotations: v.nullish(v.looseObject({})) })
const Index = v.looseObject({ ...Annotated.entries, manifests: v.array(Annotated) })
type Annotated = v.InferOutput<typeof Annotated>

/** @returns whether a member is `index.json`, and small enough for {@link normalizeIndex}. */
export function isIndex({ path, type, sparse, sizeBytes }: TarMember): boolean {
  const isFile = type === '0' && !sparse && sizeBytes <= MAX_INDEX_BYTES
  return isFile && memberKey(path) === 'index.json'
}

/**
 * Removes annotations of a containerd store. It annotates each manifest with all the
 * repositories that it was pulled from. These are not part of the image, and change with
 * other pulls.
 *
 * @param content - the content of `index.json`
 * @returns the content without these annotations; the same buffer if it has none, or is not
 *   an index
 */
export function normalizeIndex(content: Buffer): Buffer {
  if (content.length > MAX_INDEX_BYTES || !content.includes(OF_HOST)) return content
  const json = parseText(content)
  if (!v.is(Index, json)) return content
  const manifests = json.manifests.map(withoutHost)
  const index = withoutHost(json)
  const isSame = index === json && manifests.every((each, at) => each === json.manifests[at])
  return isSame ? content : Buffer.from(formatAsEngine({ ...index, manifests }))
}

// An empty `annotations` is removed too: the engine does not write empty fields.
function withoutHost(annotated: Annotated): Annotated {
  const { annotations, ...rest } = annotated
  const all = Object.entries(annotations ?? {})
  const kept = all.filter(([name]) => !name.startsWith(OF_HOST))
  if (kept.length === all.length) return annotated
  return kept.length > 0 ? { ...annotated, annotations: Object.fromEntries(kept) } : rest
}

// Writes JSON as Go does, so that the bytes equal those of an index that never had such
// annotations.
function formatAsEngine(json: unknown): string {
  return JSON.stringify(json).replaceAll(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
