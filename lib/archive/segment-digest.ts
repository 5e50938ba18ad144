// The compressed bytes of an archive as they go past, hashed segment by segment.
import { createHash } from 'node:crypto'

import type { Segment } from '../delivery/metadata.ts'

/** Segments being hashed. */
export interface SegmentDigester {
  write(chunk: Buffer): void
  /** @returns the sha256 of each segment, in hex. */
  end(): string[]
}

/** @param segments - one after the other, as metadata has them */
export function digestSegments(segments: readonly Pick<Segment, 'sizeBytes'>[]): SegmentDigester {
  const digests: string[] = []
  let hash = createHash('sha256')
  let left = segments[0]?.sizeBytes ?? 0

  function next(): void {
    digests.push(hash.digest('hex'))
    hash = createHash('sha256')
    left = segments[digests.length]?.sizeBytes ?? 0
  }
  return {
    write(chunk) {
      for (let rest = chunk; rest.length > 0 && digests.length < segments.length;) {
        const part = rest.subarray(0, left)
        hash.update(part)
        rest = rest.subarray(part.length)
        left -= part.length
        if (left === 0) next()
      }
    },
    end() {
      while (digests.length < segments.length) next()
      return digests
    },
  }
}
