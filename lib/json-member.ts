// Members of an image's tar that are JSON.
import * as v from 'valibot'

import { ToolError } from './errors.ts'
import type { DigestedMember } from './tar-digest.ts'

/**
 * @returns the member's JSON
 * @throws BAD_IMAGE where it is not what the schema says
 */
export function readJson<T>(schema: v.GenericSchema<unknown, T>, member: DigestedMember): T {
  const parsed = v.safeParse(schema, parseJson(member))
  if (parsed.success) return parsed.output
  const issue = parsed.issues[0]
  const where = v.getDotPath(issue) ?? 'JSON'
  throw new ToolError('BAD_IMAGE', `read "${member.path}" of the image: ${where}: ${issue.message}`)
}

/** @returns what its JSON holds, undefined where it is none or was too large to be kept. */
export function parseJson(member: DigestedMember): unknown {
  return member.json && parseText(member.json)
}

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
