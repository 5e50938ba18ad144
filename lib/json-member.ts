// Members of an image's tar that are JSON.
import * as v from 'valibot'

import { ToolError } from './core/errors.ts'
import { findOddKey } from './json-keys.ts'
import type { DigestedMember } from './tar/digest.ts'

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
    const why = 'it is no JSON, or larger than it may be'
    throw new ToolError('BAD_IMAGE', `read "${member.path}" of the image: ${why}`)
  }
  const parsed = v.safeParse(schema, json)
  if (parsed.success) return parsed.output
  const issue = parsed.issues[0]
  const where = v.getDotPath(issue) ?? 'JSON'
  throw new ToolError('BAD_IMAGE', `read "${member.path}" of the image: ${where}: ${issue.message}`)
}

/** @returns what its JSON holds, undefined where it is none, was too large to be kept, or has too many parts. */
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

/** @returns what JSON in UTF-8 holds, undefined where it is none. */
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
