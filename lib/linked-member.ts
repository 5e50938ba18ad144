// Layers that are alike lie in a tar once; the others are links to it.
import { ToolError } from './core/errors.ts'
import type { Members } from './oci-layout.ts'
import { memberKey, type DigestedMember } from './tar/digest.ts'

/**
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
