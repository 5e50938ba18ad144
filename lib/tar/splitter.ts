// Splits a tar into some of its members, each as a stream, and the bytes between them. So
// a caller can replace the content of a member while the tar flows past.
import { BLOCK_BYTES, paddingBytes } from './header.ts'
import type { TarMember } from './parser.ts'
import { TarTransform } from './transform.ts'

/** A wanted member of the tar. */
export interface SplitMember {
  readonly member: TarMember
  /** Its own header block, without the long names and pax records before it. */
  readonly header: Buffer
  /** Its content. It can be read only until the caller asks for the next part. */
  readonly content: AsyncIterable<Buffer>
}

// The place of a member in the tar: `from` is the offset of its first header, with long
// names and pax records; `to` is the end of its padding.
interface Place {
  readonly member: TarMember
  readonly from: number
  readonly to: number
}

/**
 * @param tar - the bytes of the tar
 * @param isWanted - says whether a member comes as a part of its own
 * @returns the parts in the order of the tar: each wanted member, without long names, pax
 *   records and padding, and the bytes between the wanted members
 * @throws BAD_TAR if the tar is damaged; TRUNCATED_TAR if it stops before its end
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

// Adds the place of a wanted member before any byte of its headers is emitted. A transform
// with a `treat` option keeps long names and pax records until it knows their member.
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
  return offsetBytes + sizeBytes + paddingBytes(sizeBytes)
}
