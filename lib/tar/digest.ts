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

/** A tar being digested. */
export interface TarDigester {
  /** @returns the bytes to hand on, see {@link TarTransform.write}. */
  write(chunk: Buffer): TarPiece[]
  /** @throws TRUNCATED_TAR where the tar stops before its end */
  end(): TarDigest
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

/** @returns a digester for one tar. */
export function digestTar(options: DigestOptions): TarDigester {
  const index = indexMembers()
  const md5 = options.md5 ? createHash('md5') : undefined
  const all = createHash('sha256')
  const allReplaced = options.replace && createHash('sha256')
  let current: Current | undefined
  let jsonBytes = 0
  let isSparse = false
  let isFirst = false
  let isHandedOn = true

  const { absent, replace, tap } = options
  const treat =
    options.treat || absent
      ? (member: TarMember): Treatment => {
          const treatment = absent?.has(member.offsetBytes)
            ? 'external'
            : (options.treat?.(member) ?? 'inline')
          isHandedOn = treatment === 'inline' || treatment === 'own segment'
          return treatment
        }
      : undefined
  const visitor = {
    member(member: TarMember): void {
      isSparse ||= member.sparse
      const parts = replace?.isWanted(member) ? [] : undefined
      current = { member, sha256: createHash('sha256'), json: undefined, parts, start: EMPTY }
      tap?.member(member)
      isFirst = true
    },
    content(bytes: Buffer): void {
      current?.parts?.push(Buffer.from(bytes))
      digestContent(bytes)
    },
    memberEnd(): void {
      if (current) endMember(current)
    },
  }
  function digestContent(bytes: Buffer): void {
    if (isFirst && current && looksLikeJson(bytes) && fits(current.member)) current.json = []
    isFirst = false
    if (current && current.start.length < START_BYTES) {
      const more = bytes.subarray(0, START_BYTES - current.start.length)
      current.start = Buffer.concat([current.start, more])
    }
    current?.json?.push(Buffer.from(bytes))
    current?.sha256.update(bytes)
    if (isHandedOn) md5?.update(bytes)
    tap?.content(bytes)
  }
  function endMember({ member, json, start, parts, sha256: hash }: Current): void {
    const known = absent?.get(member.offsetBytes)
    const sha256 = known ?? hash.digest('hex')
    const digested = {
      ...member,
      sha256,
      ...(json && { json: Buffer.concat(json) }),
      ...(known === undefined && { start }),
    }
    tap?.memberEnd(sha256)
    if (isHandedOn && member.sizeBytes > 0) {
      all.update(sha256)
      allReplaced?.update(
        parts && replace ? sha256Of(replace.change(Buffer.concat(parts))) : sha256,
      )
    }
    options.onMember?.(digested)
    index.add(digested)
  }
  function fits({ sizeBytes }: TarMember): boolean {
    if (sizeBytes > MAX_JSON_BYTES || jsonBytes + sizeBytes > MAX_ALL_JSON_BYTES) return false
    jsonBytes += sizeBytes
    return true
  }
  const scanner = new TarTransform(visitor, {
    normalize: options.normalize,
    treat,
    toEnd: options.toEnd,
  })
  return {
    write: (chunk) => scanner.write(chunk),
    end: () => ({
      ...scanner.end(),
      ...(md5 && !isSparse && { contentMd5: md5.digest('hex') }),
      membersSha256: all.digest('hex'),
      ...(allReplaced && { replacedSha256: allReplaced.digest('hex') }),
      ...index.end(),
    }),
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
