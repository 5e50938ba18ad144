// Some members of a tar by themselves, each as a stream, and all bytes between
// them as they are: so that a member can be given another content on the way.
import { BLOCK_BYTES } from './header.ts'
import { TarTransform } from './transform.ts'
import type { TarMember } from './parser.ts'

/** A member that is wanted by itself. */
export interface SplitMember {
  readonly member: TarMember
  /** Its own header, without long names and pax records before it. */
  readonly header: Buffer
  /** To be read, or left, before the next part is asked for. */
  readonly content: AsyncIterable<Buffer>
}

// Where a member lies in the tar: its headers, its content, and its end.
interface Place {
  readonly member: TarMember
  readonly from: number
  readonly to: number
}

/**
 * @param isWanted - whether a member is to come by itself
 * @returns the tar in its order: the wanted members without their headers and
 *   padding, and whatever lies between them
 * @throws BAD_TAR, TRUNCATED_TAR
 */
export async function* splitTar(
  tar: AsyncIterable<Buffer>,
  isWanted: (member: TarMember) => boolean,
): AsyncGenerator<Buffer | SplitMember> {
  const places: Place[] = []
  const chunks = scan(tar, places, isWanted)
  let rest: Buffer = Buffer.alloc(0)
  let atBytes = 0

  async function fill(): Promise<boolean> {
    while (rest.length === 0) {
      const { done, value } = await chunks.next()
      if (done) return false
      rest = value
    }
    return true
  }
  async function* take(to: number): AsyncGenerator<Buffer> {
    while (atBytes < to && (await fill())) {
      const part = rest.subarray(0, to - atBytes)
      rest = rest.subarray(part.length)
      atBytes += part.length
      yield part
    }
  }
  while (await fill()) {
    const [place] = places
    if (!place || place.from > atBytes) {
      yield* take(Math.min(place?.from ?? Infinity, atBytes + rest.length))
      continue
    }
    places.shift()
    const { member, to } = place
    const headers: Buffer[] = []
    for await (const bytes of take(member.offsetBytes)) headers.push(bytes)
    const header = Buffer.concat(headers).subarray(-BLOCK_BYTES)
    const content = take(member.offsetBytes + member.sizeBytes)
    yield { member, header, content }
    for await (const _ of take(to)) void _
  }
}

// A member's place is known once its header was read, and no byte of its headers
// is handed on before: long names are kept until then where members are treated.
async function* scan(
  tar: AsyncIterable<Buffer>,
  places: Place[],
  isWanted: (member: TarMember) => boolean,
): AsyncGenerator<Buffer, undefined> {
  let from = 0
  const visitor = {
    member(member: TarMember): void {
      const to = paddedEnd(member)
      if (isWanted(member)) places.push({ member, from, to })
      from = to
    },
    content(): void {},
    memberEnd(): void {},
  }
  const scanner = new TarTransform(visitor, { normalize: false, treat: () => 'inline' })
  for await (const chunk of tar) {
    for (const { bytes } of scanner.write(chunk)) yield bytes
  }
  scanner.end()
}

function paddedEnd({ offsetBytes, sizeBytes }: TarMember): number {
  return offsetBytes + Math.ceil(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES
}
