// Checks that all names of an image agree. A saved image has names in up to three places,
// and each engine uses one: `manifest.json`; `index.json` (containerd stores, podman);
// `repositories` (old engines). A name in one place only would be loaded by one engine, and
// not seen by a person or tool that reads another place.
import * as v from 'valibot'

import { ToolError } from '../core/errors.ts'
import { ENGINES_DIFFER } from '../core/hints.ts'
import type { DigestedMember } from '../tar/digest.ts'
import { blobPath } from './digest.ts'
import { checkCount, MAX_ENTRIES } from './limits.ts'
import { checkKeys, lengthIn, parseJson, readJson, type Members } from './members.ts'
import type { OciLayout } from './oci-layout.ts'
import { NamingIndex, READ_KEYS } from './oci-schemas.ts'
import { formatPlatform } from './platform.ts'

/** An image in manifest.json. */
export interface NamedImage {
  readonly repoTags: readonly string[]
  readonly config: { readonly digest: string }
  /** `os/architecture[/variant]`. */
  readonly platform: string
}

const CONTAINERD_NAME = 'io.containerd.image.name'
const OCI_NAME = 'org.opencontainers.image.ref.name'

const Repositories = v.record(v.string(), v.nullable(v.record(v.string(), v.string())))

/**
 * @param members - the members of a tar
 * @param layout - the OCI layout of the same tar
 * @param images - the images in its manifest.json
 * @throws BAD_IMAGE if another place has a name that manifest.json lacks, or gives a name to
 *   another image than manifest.json does; or if that place cannot be read
 */
export function checkNames(
  members: Members,
  layout: OciLayout,
  images: readonly NamedImage[],
): void {
  const given = collectNames(images)
  const index = fileAt(members, 'index.json')
  const platformOf = createPlatforms(members, images)
  if (index) checkIndex(index, layout, given, platformOf)
  const repositories = fileAt(members, 'repositories')
  if (repositories) checkRepositories(repositories, given)
}

/** The config digests of the images that have a name, by that name. */
type Given = ReadonlyMap<string, ReadonlySet<string>>

function collectNames(images: readonly NamedImage[]): Given {
  const given = new Map<string, Set<string>>()
  const add = (name: string, configDigest: string): void => {
    given.set(name, (given.get(name) ?? new Set()).add(configDigest))
  }
  for (const { repoTags, config } of images) {
    for (const name of repoTags.map(plainName)) {
      add(name, config.digest)
      add(tagOf(name), config.digest)
    }
  }
  return given
}

function checkIndex(
  index: DigestedMember,
  layout: OciLayout,
  given: Given,
  platformOf: (configDigest: string) => string | undefined,
): void {
  checkCount('entries of indexes', lengthIn(parseJson(index), 'manifests'), MAX_ENTRIES)
  const { manifests } = readJson(NamingIndex, index)
  checkKeys(index, READ_KEYS)
  const reach = findConfigs(layout)
  for (const { digest, annotations } of manifests) {
    for (const name of [annotations?.[CONTAINERD_NAME], annotations?.[OCI_NAME]]) {
      const plain = name === undefined ? '' : withoutDigest(name, digest)
      if (plain === '') continue
      const wanted =
        given.get(plainName(plain)) ?? (isTag(plain) ? given.get(`:${plain}`) : undefined)
      if (!wanted) throw notGiven(plain, index)
      const reached = reach(digest)
      if (reached.isDisjointFrom(wanted)) throw elsewhere(plain, digest)
      // An engine takes the first image for its platform, so no other image with a
      // platform that fits may be reached by this name.
      const own = [...wanted].map(platformOf)
      const other = [...reached.difference(wanted)].find((config) => {
        return own.some((platform) => mayBeChosenFor(platform, platformOf(config)))
      })
      if (other !== undefined) throw elsewhere(plain, other)
    }
  }
}

const Platform = v.object({
  os: v.nullish(v.string(), ''),
  architecture: v.nullish(v.string(), ''),
  variant: v.nullish(v.string()),
})

/** @returns a function that gives the platform of a config, or undefined if the tar lacks it. */
function createPlatforms(
  members: Members,
  images: readonly NamedImage[],
): (configDigest: string) => string | undefined {
  const known = new Map<string, string | undefined>(
    images.map(({ config, platform }) => [config.digest, platform]),
  )
  return (digest) => {
    if (known.has(digest)) return known.get(digest)
    const member = members.get(blobPath(digest))
    const read = v.safeParse(Platform, member && parseJson(member))
    const platform = read.success ? formatPlatform(read.output) : undefined
    known.set(digest, platform)
    return platform
  }
}

function mayBeChosenFor(own: string | undefined, other: string | undefined): boolean {
  if (own === undefined || other === undefined) return false
  return `${own}/`.startsWith(`${other}/`) || `${other}/`.startsWith(`${own}/`)
}

function checkRepositories(repositories: DigestedMember, given: Given): void {
  const named = Object.entries(readJson(Repositories, repositories))
  checkKeys(repositories, [])
  const all = named.flatMap(([repository, tags]) =>
    Object.keys(tags ?? {}).map((tag) => `${repository}:${tag}`),
  )
  checkCount('names in "repositories"', all.length, MAX_ENTRIES)
  const name = all.find((each) => !given.has(plainName(each)))
  if (name !== undefined) throw notGiven(name, repositories)
}

// The most steps from index to index; real images take far fewer.
const MAX_STEPS = 200_000

/** @returns a function that finds the configs of all manifests to which a digest leads. */
function findConfigs(layout: OciLayout): (digest: string) => ReadonlySet<string> {
  // What an index names may be no digest at all.
  const manifests: ReadonlyMap<string, { readonly configDigest: string }> = layout.manifests
  const indexes: ReadonlyMap<string, { readonly names: readonly string[] }> = layout.indexes
  const known = new Map<string, ReadonlySet<string>>()
  let steps = 0
  const find = (top: string): ReadonlySet<string> => {
    const configs = new Set<string>()
    const seen = new Set([top])
    for (const digest of seen) {
      const manifest = manifests.get(digest)
      if (manifest) configs.add(manifest.configDigest)
      for (const named of indexes.get(digest)?.names ?? []) {
        checkCount('steps from index to index', ++steps, MAX_STEPS)
        seen.add(named)
      }
    }
    known.set(top, configs)
    return configs
  }
  return (digest) => known.get(digest) ?? find(digest)
}

function fileAt(members: Members, path: string): DigestedMember | undefined {
  const member = members.get(path)
  return member?.type === '0' ? member : undefined
}

// Removes the digest from a name, if it is the digest of the named manifest or index. Of a
// name without a tag nothing is left then: it says no more than the digest.
function withoutDigest(name: string, digest: string): string {
  const at = name.indexOf('@')
  if (at === -1 || name.slice(at + 1) !== digest) return name
  const rest = name.slice(0, at)
  return tagOf(rest) === '' ? '' : rest
}

function isTag(text: string): boolean {
  return /^\w[\w.-]{0,127}$/.test(text)
}

/** @returns the `:tag` of a name; empty if it has none. */
function tagOf(name: string): string {
  return /:[^:/]+$/.exec(name)?.[0] ?? ''
}

/** @returns a name as Docker shows it, with a tag. */
function plainName(name: string): string {
  const short = name.replace(/^(?:index\.)?docker\.io\//, '').replace(/^library\//, '')
  return tagOf(short) === '' ? `${short}:latest` : short
}

function notGiven(name: string, { path }: DigestedMember): ToolError {
  return refuse(`"${path}" names "${name}", which manifest.json does not`)
}

function elsewhere(name: string, digest: string): ToolError {
  return refuse(
    `"index.json" gives "${name}" to ${digest}, which is not its image in manifest.json`,
  )
}

function refuse(why: string): ToolError {
  return new ToolError('BAD_IMAGE', `check image: ${why}`, {
    hint: ENGINES_DIFFER,
  })
}
