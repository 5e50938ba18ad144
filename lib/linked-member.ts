// Layers that are alike lie in a tar once; the others are links to it.
import { ToolError } from './errors.ts'
import type { Members } from './oci-layout.ts'
import { memberKey, type DigestedMember } from './tar-digest.ts'

/**
 * @returns the file of a path, whatever links lead to it
 * @throws BAD_IMAGE where there is none
 */
export function findMember(members: Members, path: string): DigestedMember {
  let key = memberKey(path)
  for (let links = 0; links < 8; links++) {
    const member = members.get(key)
    if (member?.type === '0') return member
    if (member && member.linkPath.length > MAX_LINK_LENGTH) break
    if (member?.type === '2') key = resolve(key, member.linkPath)
    else if (member?.type === '1') key = memberKey(member.linkPath)
    else break
  }
  throw new ToolError('BAD_IMAGE', `check image: "${path}" is missing in the tar`, {
    hint: 'the image was not saved whole: save it again',
  })
}

// Longer than a path can be; to put it together would take its time for each layer.
const MAX_LINK_LENGTH = 4096

function resolve(from: string, link: string): string {
  const parts = from.split('/').slice(0, -1)
  for (const part of link.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '.' && part !== '') parts.push(part)
  }
  return parts.join('/')
}
