// `index.json`, which names what is in an OCI layout. It is no blob and no digest is
// made of it, so what a store writes into it about its own host can be left out.
import * as v from 'valibot'

import { parseText } from './members.ts'
import { memberKey } from '../tar/digest.ts'
import type { TarMember } from '../tar/parser.ts'

// Every repository that a manifest was ever pulled from on that host.
const OF_HOST = 'containerd.io/distribution.source.'
const MAX_INDEX_BYTES = 8 * 1024 * 1024

const Annotated = v.looseObject({ annotations: v.nullish(v.looseObject({})) })
const Index = v.looseObject({ ...Annotated.entries, manifests: v.array(Annotated) })
type Annotated = v.InferOutput<typeof Annotated>

/** @returns whether a member of a tar is the index, and small enough for {@link normalizeIndex}. */
export function isIndex({ path, type, sparse, sizeBytes }: TarMember): boolean {
  const isFile = type === '0' && !sparse && sizeBytes <= MAX_INDEX_BYTES
  return isFile && memberKey(path) === 'index.json'
}

/**
 * A containerd store annotates each manifest with the repositories that it was ever
 * pulled from: names that are no part of the image, and that change with other pulls.
 *
 * @param content - of `index.json`
 * @returns it without them; the very buffer where it has none, or is no index
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

// What becomes empty by that goes, as the engine leaves out what is empty.
function withoutHost(annotated: Annotated): Annotated {
  const { annotations, ...rest } = annotated
  const all = Object.entries(annotations ?? {})
  const kept = all.filter(([name]) => !name.startsWith(OF_HOST))
  if (kept.length === all.length) return annotated
  return kept.length > 0 ? { ...annotated, annotations: Object.fromEntries(kept) } : rest
}

// As Go writes JSON, so that the bytes are those of an index that never had any.
function formatAsEngine(json: unknown): string {
  return JSON.stringify(json).replaceAll(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
