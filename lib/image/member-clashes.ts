// Refuses tars in which engines see different images. Docker unpacks a tar into a directory,
// podman looks up its members, containerd reads them one after the other. If two members
// have one path, or a member is below a link, each engine may read another content. So what
// an engine reads must be in the tar once.
import { ToolError } from '../core/errors.ts'
import { ENGINES_DIFFER } from '../core/hints.ts'
import { memberKey, type TarDigest } from '../tar/digest.ts'
import { followLinks, type Members } from './members.ts'

/** What an engine reads beside the paths in manifest.json; `blobs` with all below it. */
const READ_FILES = ['manifest.json', 'index.json', 'oci-layout', 'repositories']
const BLOBS = 'blobs'

/**
 * @param tar - the digest of the tar of a saved image
 * @param members - the members of that tar, and the external layers
 * @param paths - the config and layer paths in its manifest.json
 * @throws BAD_IMAGE if engines may see different images
 */
export function checkClashes(
  { contested = new Set(), links = new Set() }: TarDigest,
  members: Members,
  paths: Iterable<string>,
): void {
  for (const path of READ_FILES) {
    if (links.has(path)) throw refuse(path, 'is a link')
  }
  const below = links.size > 0 ? findBelow(links, members) : undefined
  if (below !== undefined) throw refuse(below, 'lies below a link')
  const sparse = members.values().find((member) => member.sparse)
  if (sparse) throw refuse(sparse.path, 'is a sparse file')
  if (contested.size === 0) return
  for (const path of contested) {
    const isBlob = path === BLOBS || path.startsWith(`${BLOBS}/`)
    if (isBlob || READ_FILES.includes(path)) throw twice(path)
  }
  for (const path of paths) {
    for (const key of followLinks(members, path)) {
      if (contested.has(key)) throw twice(key)
    }
  }
}

// Uses a binary search in the sorted paths: a tar may have as many links as members, and
// paths with thousands of parts.
function findBelow(links: ReadonlySet<string>, members: Members): string | undefined {
  const keys = [...members.keys()].toSorted((a, b) => (a < b ? -1 : 1))
  for (const link of links) {
    const start = `${link}/`
    const found = keys[firstFrom(keys, start)]
    if (found?.startsWith(start)) return found
  }
  return undefined
}

function firstFrom(sorted: readonly string[], start: string): number {
  let [from, to] = [0, sorted.length]
  while (from < to) {
    const middle = (from + to) >> 1
    if ((sorted[middle] ?? '') < start) from = middle + 1
    else to = middle
  }
  return from
}

function twice(path: string): ToolError {
  return refuse(memberKey(path), 'stands in the tar more than once, with different content')
}

function refuse(path: string, why: string): ToolError {
  return new ToolError('BAD_IMAGE', `check image: "${path}" ${why}`, {
    hint: ENGINES_DIFFER,
  })
}
