// Members of an image's tar: found by their path, whatever links lead there, and
// read where they are JSON.
import * as v from 'valibot'

import { ToolError } from '../core/errors.ts'
import { memberKey, type DigestedMember } from '../tar/digest.ts'
import { findOddKey } from './json-keys.ts'

/** The members of a tar by their path. */
export type Members = ReadonlyMap<string, DigestedMember>

// Brackets and colons: an index of 10 000 entries has some 200 000. Of millions, which
// fit into a few MiB, the parser alone would take many seconds.
const MAX_PARTS = 500_000

/** @throws BAD_IMAGE where a member has too many parts for {@link parseJson} */
export function checkParts({ path, json }: DigestedMember): void {
  if (!json || !hasTooManyParts(json)) return
  const why = `got more than ${MAX_PARTS} brackets and colons in its JSON`
  throw new ToolError('BAD_IMAGE', `read "${path}" of the image: ${why}`)
}

/** @throws BAD_IMAGE where an engine may read a member otherwise, see {@link findOddKey} */
export function checkKeys({ path, json }: DigestedMember, known: readonly string[]): void {
  const key = json && findOddKey(json.toString('utf8'), known)
  if (key === undefined) return
  const why = `"${key}" is there twice, or in another case than it should be`
  throw new ToolError('BAD_IMAGE', `read "${path}" of the image: ${why}`, {
    hint: 'engines may see another image than was verified: have it saved again',
  })
}

/**
 * @returns the member's JSON
 * @throws BAD_IMAGE where it is not what the schema says
 */
export function readJson<T>(schema: v.GenericSchema<unknown, T>, member: DigestedMember): T {
  checkParts(member)
  const json = parseJson(member)
  if (json === undefined) {
    const why = 'not JSON, or larger than it may be'
    throw new ToolError('BAD_IMAGE', `read "${member.path}" of the image: ${why}`)
  }
  const parsed = v.safeParse(schema, json)
  if (parsed.success) return parsed.output
  const issue = parsed.issues[0]
  const where = v.getDotPath(issue) ?? 'JSON'
  throw new ToolError('BAD_IMAGE', `read "${member.path}" of the image: ${where}: ${issue.message}`)
}

/** @returns what its JSON holds, undefined if it is none, was too large to be kept, or has too many parts. */
export function parseJson({ json }: DigestedMember): unknown {
  return json && !hasTooManyParts(json) ? parseText(json) : undefined
}

/** @returns whether JSON has so many parts that the parser takes seconds for it */
export function hasTooManyParts(json: Buffer): boolean {
  if (json.length <= MAX_PARTS) return false
  let parts = 0
  for (const byte of json) {
    if (byte === COLON || byte === BRACKET || byte === BRACE) parts++
  }
  return parts > MAX_PARTS
}

const [COLON, BRACKET, BRACE] = [0x3a, 0x5b, 0x7b]

/** @returns what JSON in UTF-8 holds, undefined if it is none. */
export function parseText(content: Buffer): unknown {
  try {
    return JSON.parse(content.toString('utf8'))
  } catch {
    return undefined
  }
}

/** @returns how many a list in an object has, before anything else of it is looked at; 0 where it has none. */
export function lengthIn(json: unknown, key: string): number {
  if (typeof json !== 'object' || json === null) return 0
  const list: unknown = Reflect.get(json, key)
  return Array.isArray(list) ? list.length : 0
}

/**
 * Layers that are alike lie in a tar once; the others are links to it.
 *
 * @returns the file of a path, whatever links lead to it
 * @throws BAD_IMAGE where there is none
 */
export function findMember(members: Members, path: string): DigestedMember {
  for (const key of followLinks(members, path)) {
    const member = members.get(key)
    if (member?.type === '0') return member
  }
  throw new ToolError('BAD_IMAGE', `check image: "${path}" is missing in the tar`, {
    hint: 'the image was not saved whole: save it again',
  })
}

/** @returns the path, and those to which links lead from it, each as {@link memberKey} gives it. */
export function* followLinks(members: Members, path: string): Generator<string> {
  let key = memberKey(path)
  for (let links = 0; links < MAX_LINKS; links++) {
    yield key
    const { type, linkPath = '' } = members.get(key) ?? {}
    if (linkPath.length > MAX_LINK_LENGTH) return
    if (type === '1') key = memberKey(linkPath)
    // Where an absolute one leads, engines do not agree.
    else if (type === '2' && !linkPath.startsWith('/')) key = memberKey(`${key}/../${linkPath}`)
    else return
  }
}

const MAX_LINKS = 8
// Longer than a path can be; to put it together would take its time for each layer.
const MAX_LINK_LENGTH = 4096
