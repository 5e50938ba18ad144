// Digests a tar in one pass: the md5 of its content, the sha256 of each member, and the JSON
// that describes an image. Images and archives are verified with these.
import { createHash, type Hash } from 'node:crypto'

import type { ToolError } from '../core/errors.ts'
import type { TarMember } from './parser.ts'
import type { TarPiece } from './pieces.ts'
import { TarTransform, type Treatment } from './transform.ts'

/** How many of the first bytes of a member are kept: they show how it is compressed. */
export const START_BYTES = 6

/** One member of a tar, digested. */
export interface DigestedMember extends TarMember {
  /** The sha256 of its content, in hex. */
  readonly sha256: string
  /** The content, if it looks like JSON and is small. */
  readonly json?: Buffer
  /**
   * The first {@link START_BYTES} bytes of the content, or all of a shorter one; absent if the
   * content was not read.
   */
  readonly start?: Buffer
}

/** The results of decompressing members, by their `sha256:…`; an error if it failed. */
export type DecodedLayers = ReadonlyMap<
  string,
  { readonly digest: string; readonly sizeBytes: number } | ToolError
>

/** Receives the contents of the members while the tar is digested. */
export interface MemberTap {
  member(member: TarMember): void
  content(bytes: Buffer): void
  /** @param sha256 - the sha256 of the content, in hex */
  memberEnd(sha256: string): void
}

/** What is known of a tar that was read to its end. */
export interface TarDigest {
  /** The number of all bytes, with those after the end of the tar. */
  readonly sizeBytes: number
  /**
   * The number of bytes up to the end of the tar (the second block of zeros). An index of pixz
   * may follow it.
   */
  readonly endBytes: number
  /**
   * The md5 of the output of `tar xO`, of the emitted members; absent if it was not requested,
   * or if the tar has sparse members, which would have to be expanded.
   */
  readonly contentMd5?: string
  /**
   * A digest of the contents of the emitted members in their order: the sha256 of their sha256.
   * Empty members do not count.
   */
  readonly membersSha256: string
  /**
   * The same digest, with the other content of the members that may have one, see
   * {@link DigestOptions.replace}.
   */
  readonly replacedSha256?: string
  /**
   * The members by {@link memberKey}, the last one for each path; undefined if there are more
   * than in any image.
   */
  readonly members?: ReadonlyMap<string, DigestedMember>
  /**
   * The paths with several members that differ: which of them counts depends on the program
   * that reads the tar.
   */
  readonly contested?: ReadonlySet<string>
  /** The paths that have a link, or had one before a later member replaced it. */
  readonly links?: ReadonlySet<string>
  /** The digests of the decompressed layers, if they were requested. */
  readonly decoded?: DecodedLayers
}

// An image has at most 127 layers, and some ten members for each. A tar with more members is no
// image; it is still digested, in bounded memory.
const MAX_MEMBERS = 100_000
const MAX_NAMES_LENGTH = 64 * 1024 * 1024
const MAX_JSON_BYTES = 8 * 1024 * 1024
const EMPTY = Buffer.alloc(0)
const MAX_ALL_JSON_BYTES = 32 * 1024 * 1024

/** What to compute, and how. */
export interface DigestOptions {
  /** Whether to set times and owners to constants. */
  readonly normalize: boolean
  /** Whether to compute the md5 of the emitted content. It takes twice the time of all sha256. */
  readonly md5: boolean
  /** See {@link ScanOptions}. */
  readonly treat?: ((member: TarMember) => Treatment) | undefined
  /** See {@link ScanOptions}. */
  readonly toEnd?: boolean
  /** The sha256 of the members whose content is absent from the input, by their offset. */
  readonly absent?: ReadonlyMap<number, string> | undefined
  /** Small members that may have another content as well, see {@link TarDigest.replacedSha256}. */
  readonly replace?:
    | {
        readonly isWanted: (member: TarMember) => boolean
        readonly change: (content: Buffer) => Buffer
      }
    | undefined
  /** Receives all members. */
  readonly tap?: MemberTap | undefined
  /** Is called with each member after its content. */
  readonly onMember?: ((member: DigestedMember) => void) | undefined
}

interface Current {
  readonly member: TarMember
  readonly sha256: Hash
  json: Buffer[] | undefined
  /** The content so far, if the member may have another content as well. */
  readonly parts: Buffer[] | undefined
  start: Buffer
}

/** Digests one tar. */
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

  /** @returns the bytes to emit, see {@link TarTransform.write} */
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

  // Keeps the JSON of a member only if it is small, and not too much in total.
  #fits({ sizeBytes }: TarMember): boolean {
    const allBytes = this.#jsonBytes + sizeBytes
    if (sizeBytes > MAX_JSON_BYTES || allBytes > MAX_ALL_JSON_BYTES) return false
    this.#jsonBytes = allBytes
    return true
  }
}

/** Collects the members of a tar by their path, unless there are too many. */
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

/** @returns the path at which an unpacked member is found: without `.`, `..` and extra slashes */
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
