// Finds the members of an image's tar by their path, through links, and reads their JSON.
import * as v from 'valibot'

import { ToolError } from '../core/errors.ts'
import { ENGINES_DIFFER } from '../core/hints.ts'
import { memberKey, type DigestedMember } from '../tar/digest.ts'
import { findOddKey } from './json-keys.ts'

/** The members of a tar, by their path. */
export type Members = ReadonlyMap<string, DigestedMember>

// The most brackets and colons in JSON; an index of 10 000 entries has some 200 000.
// Millions fit into a few MiB, and the parser alone would take many seconds for them.
const MAX_PARTS = 500_000

/** @throws BAD_IMAGE if the JSON of a member has too many parts for {@link parseJson} */
export function checkParts({ path, json }: DigestedMember): void {
  if (!json || !hasTooManyParts(json)) return
  const why = `got more than ${MAX_PARTS} brackets and colons in its JSON`
  throw new ToolError('BAD_IMAGE', `read "${path}" of the image: ${why}`)
}

/** @throws BAD_IMAGE if an engine may read the JSON in another way, see {@link findOddKey} */
export function checkKeys({ path, json }: DigestedMember, known: readonly string[]): void {
  const key = json && findOddKey(json.toString('utf8'), known)
  if (key === undefined) return
  const why = `"${key}" is there twice, or in another case than it should be`
  throw new ToolError('BAD_IMAGE', `read "${path}" of the image: ${why}`, {
    hint: ENGINES_DIFFER,
  })
}

/**
 * @returns the value of the member's JSON
 * @throws BAD_IMAGE if the member is not JSON, or does not fit the schema
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

/** @returns the value of a member's JSON, or undefined if it is not JSON, was too large to keep, or has too many parts. */
export function parseJson({ json }: DigestedMember): unknown {
  return json && !hasTooManyParts(json) ? parseText(json) : undefined
}

/** @returns whether JSON has so many parts that the parser would take seconds for it */
export function hasTooManyParts(json: Buffer): boolean {
  if (json.length <= MAX_PARTS) return false
  let parts = 0
  for (const byte of json) {
    if (byte === COLON || byte === BRACKET || byte === BRACE) parts++
  }
  return parts > MAX_PARTS
}

const [COLON, BRACKET, BRACE] = [0x3a, 0x5b, 0x7b]

/** @returns the value of JSON in UTF-8, or undefined if it is not JSON. */
export function parseText(content: Buffer): unknown {
  try {
    return JSON.parse(content.toString('utf8'))
  } catch {
    return undefined
  }
}

/**
 * Counts the entries of a list before anything is validated.
 *
 * @param json - any value
 * @param key - the key of the list in this value
 * @returns the number of entries; 0 if there is no such list
 */
export function lengthIn(json: unknown, key: string): number {
  if (typeof json !== 'object' || json === null) return 0
  const list: unknown = Reflect.get(json, key)
  return Array.isArray(list) ? list.length : 0
}

/**
 * Finds the file at a path, through links: a tar may hold equal layers once, and the others
 * as links to it.
 *
 * @returns the member that is the file
 * @throws BAD_IMAGE if there is no file
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

/** @returns the path, and the paths to which links lead from it, each as {@link memberKey} writes it. */
export function* followLinks(members: Members, path: string): Generator<string> {
  let key = memberKey(path)
  for (let links = 0; links < MAX_LINKS; links++) {
    yield key
    const { type, linkPath = '' } = members.get(key) ?? {}
    if (linkPath.length > MAX_LINK_LENGTH) return
    if (type === '1') key = memberKey(linkPath)
    // Absolute links are not followed: engines do not agree on where they lead.
    else if (type === '2' && !linkPath.startsWith('/')) key = memberKey(`${key}/../${linkPath}`)
    else return
  }
}

const MAX_LINKS = 8
// No system takes a longer path, and to join it would take time for each layer.
const MAX_LINK_LENGTH = 4096
