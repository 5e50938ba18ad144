// Everything that is verified by a tar going past once: the md5 of its content,
// the sha256 of each member, and the JSON that says what belongs together.
import { createHash, type Hash } from 'node:crypto'

import type { ToolError } from '../core/errors.ts'
import type { TarPiece } from './pieces.ts'
import { TarTransform, type Treatment } from './transform.ts'
import type { TarMember } from './parser.ts'

/** How many of a member's first bytes are kept: they tell how it is compressed. */
export const START_BYTES = 6

/** One member of a tar, digested. */
export interface DigestedMember extends TarMember {
  /** sha256 of its content, in hex. */
  readonly sha256: string
  /** The content, where it looks like JSON and is small. */
  readonly json?: Buffer
  /** The first {@link START_BYTES} of the content, or all of less; absent where that was not read. */
  readonly start?: Buffer
}

/** Compressed members decompressed, by their `sha256:…`; an error where that failed. */
export type DecodedLayers = ReadonlyMap<
  string,
  { readonly digest: string; readonly sizeBytes: number } | ToolError
>

/** Gets the contents of the members of a tar that is digested. */
export interface MemberTap {
  member(member: TarMember): void
  content(bytes: Buffer): void
  /** @param sha256 - of the content, in hex */
  memberEnd(sha256: string): void
}

/** What is known of a tar that was read to its end. */
export interface TarDigest {
  /** All bytes, including what follows the end that the tar names. */
  readonly sizeBytes: number
  /** The size up to the end that the tar names: an index of pixz may follow it. */
  readonly endBytes: number
  /** The md5 of `tar xO`; absent where sparse members would have to be expanded. */
  readonly contentMd5?: string
  /** Equal where the content of all members is, one after the other: made of their sha256, empty ones passed over. */
  readonly membersSha256: string
  /** The same with another content of the members that may have one. */
  readonly replacedSha256?: string
  /** The members by {@link memberKey}, the last of a path winning; undefined if there are too many for an image. */
  readonly members?: ReadonlyMap<string, DigestedMember>
  /** Those paths at which members stand that differ: which of them counts depends on who reads the tar. */
  readonly contested?: ReadonlySet<string>
  /** Those paths at which a link stands, or stood before a later member took its place. */
  readonly links?: ReadonlySet<string>
  /** What compressed layers are uncompressed, where that was wanted. */
  readonly decoded?: DecodedLayers
}

// An image has at most 127 layers and some ten members for each: what holds
// more is no image, and any tar must go through in bounded memory.
const MAX_MEMBERS = 100_000
const MAX_NAMES_LENGTH = 64 * 1024 * 1024
const MAX_JSON_BYTES = 8 * 1024 * 1024
const EMPTY = Buffer.alloc(0)
const MAX_ALL_JSON_BYTES = 32 * 1024 * 1024

/** What is wanted of a tar. */
export interface DigestOptions {
  /** Whether to set times and owners to constants. */
  readonly normalize: boolean
  /** Whether the content md5, of what is handed on, is wanted: it takes twice the time of all sha256. */
  readonly md5: boolean
  /** See {@link ScanOptions}. */
  readonly treat?: ((member: TarMember) => Treatment) | undefined
  /** See {@link ScanOptions}. */
  readonly toEnd?: boolean
  /** What is known of the members whose content is absent: their sha256 by their offset. */
  readonly absent?: ReadonlyMap<number, string> | undefined
  /** Some small members that may as well have another content, see {@link TarDigest.replacedSha256}. */
  readonly replace?:
    | {
        readonly isWanted: (member: TarMember) => boolean
        readonly change: (content: Buffer) => Buffer
      }
    | undefined
  /** Gets all members. */
  readonly tap?: MemberTap | undefined
  /** Told of each member when all of it went past. */
  readonly onMember?: ((member: DigestedMember) => void) | undefined
}

interface Current {
  readonly member: TarMember
  readonly sha256: Hash
  json: Buffer[] | undefined
  /** The content so far, where it may be another as well. */
  readonly parts: Buffer[] | undefined
  start: Buffer
}

/** Digests one tar while it goes past. */
export class TarDigester {
  readonly #options: DigestOptions
  readonly #transform: TarTransform
  readonly #index = indexMembers()
  readonly #md5: Hash | undefined
  readonly #all = createHash('sha256')
  readonly #allReplaced: Hash | undefined
  #current: Current | undefined
  #jsonBytes = 0
  #isSparse = false
  #isFirst = false
  #isHandedOn = true

  constructor(options: DigestOptions) {
    const { normalize, toEnd, treat, absent } = options
    this.#options = options
    this.#md5 = options.md5 ? createHash('md5') : undefined
    this.#allReplaced = options.replace && createHash('sha256')
    const visitor = {
      member: (member: TarMember) => this.#begin(member),
      content: (bytes: Buffer) => this.#content(bytes),
      memberEnd: () => this.#end(),
    }
    const own = treat || absent ? (member: TarMember) => this.#treat(member) : undefined
    this.#transform = new TarTransform(visitor, { normalize, treat: own, toEnd })
  }

  /** @returns the bytes to hand on, see {@link TarTransform.write}. */
  write(chunk: Buffer): TarPiece[] {
    return this.#transform.write(chunk)
  }

  /** @throws TRUNCATED_TAR if the tar stops before its end */
  end(): TarDigest {
    return {
      ...this.#transform.end(),
      ...(this.#md5 && !this.#isSparse && { contentMd5: this.#md5.digest('hex') }),
      membersSha256: this.#all.digest('hex'),
      ...(this.#allReplaced && { replacedSha256: this.#allReplaced.digest('hex') }),
      ...this.#index.end(),
    }
  }

  #treat(member: TarMember): Treatment {
    const { absent, treat } = this.#options
    const isAbsent = absent?.has(member.offsetBytes) === true
    const treatment = isAbsent ? 'external' : (treat?.(member) ?? 'inline')
    this.#isHandedOn = treatment === 'inline' || treatment === 'own segment'
    return treatment
  }

  #begin(member: TarMember): void {
    const { replace, tap } = this.#options
    this.#isSparse ||= member.sparse
    const parts = replace?.isWanted(member) ? [] : undefined
    this.#current = { member, sha256: createHash('sha256'), json: undefined, parts, start: EMPTY }
    this.#isFirst = true
    tap?.member(member)
  }

  #content(bytes: Buffer): void {
    const current = this.#current
    if (current) {
      current.parts?.push(Buffer.from(bytes))
      if (this.#isFirst && looksLikeJson(bytes) && this.#fits(current.member)) current.json = []
      if (current.start.length < START_BYTES) {
        const more = bytes.subarray(0, START_BYTES - current.start.length)
        current.start = Buffer.concat([current.start, more])
      }
      current.json?.push(Buffer.from(bytes))
      current.sha256.update(bytes)
    }
    this.#isFirst = false
    if (this.#isHandedOn) this.#md5?.update(bytes)
    this.#options.tap?.content(bytes)
  }

  #end(): void {
    if (!this.#current) return
    const { member, json, start, parts, sha256: hash } = this.#current
    const { absent, replace, tap, onMember } = this.#options
    const known = absent?.get(member.offsetBytes)
    const sha256 = known ?? hash.digest('hex')
    tap?.memberEnd(sha256)
    if (this.#isHandedOn && member.sizeBytes > 0) {
      this.#all.update(sha256)
      const isReplaced = parts && replace
      this.#allReplaced?.update(
        isReplaced ? sha256Of(replace.change(Buffer.concat(parts))) : sha256,
      )
    }
    const digested = {
      ...member,
      sha256,
      ...(json && { json: Buffer.concat(json) }),
      ...(known === undefined && { start }),
    }
    onMember?.(digested)
    this.#index.add(digested)
  }

  // Whether the JSON of a member is kept: small, and not too much in all.
  #fits({ sizeBytes }: TarMember): boolean {
    const allBytes = this.#jsonBytes + sizeBytes
    if (sizeBytes > MAX_JSON_BYTES || allBytes > MAX_ALL_JSON_BYTES) return false
    this.#jsonBytes = allBytes
    return true
  }
}

/** The members of a tar by their path, as long as there are not too many. */
function indexMembers(): {
  add(member: DigestedMember): void
  end(): Pick<TarDigest, 'members' | 'contested' | 'links'>
} {
  const members = new Map<string, DigestedMember>()
  const contested = new Set<string>()
  const links = new Set<string>()
  let count = 0
  let namesLength = 0
  const isTooMany = (): boolean => count > MAX_MEMBERS || namesLength > MAX_NAMES_LENGTH
  return {
    add(member) {
      count++
      namesLength += member.path.length + member.linkPath.length
      if (isTooMany()) return [members, contested, links].forEach((each) => each.clear())
      const key = memberKey(member.path)
      const before = members.get(key)
      if (before && !isAlike(before, member)) contested.add(key)
      if (member.type === '1' || member.type === '2') links.add(key)
      members.set(key, member)
    },
    end: () => (isTooMany() ? {} : { members, contested, links }),
  }
}

function isAlike(a: DigestedMember, b: DigestedMember): boolean {
  const isSameKind = a.type === b.type && a.sparse === b.sparse && a.linkPath === b.linkPath
  return isSameKind && a.sha256 === b.sha256
}

const UNCLEAN = /(?:^|\/)(?:\.{0,2})(?:\/|$)/

/** @returns the path as whoever unpacks the tar comes to it: without `.`, `..` and slashes too many. */
export function memberKey(path: string): string {
  if (!UNCLEAN.test(path)) return path
  const parts: string[] = []
  for (const part of path.split(/\/+/)) {
    if (part === '..') parts.pop()
    else if (part !== '.' && part !== '') parts.push(part)
  }
  return parts.join('/')
}

function sha256Of(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex')
}

function looksLikeJson(bytes: Buffer): boolean {
  return bytes[0] === 0x7b || bytes[0] === 0x5b
}
