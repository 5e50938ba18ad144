// The compressed bytes of an archive as they go past, hashed as a whole and segment by segment.
import { createHash } from 'node:crypto'

import type { Segment } from '../delivery/metadata.ts'

/** What the bytes of an archive were. */
export interface DigestedArchive {
  readonly archive: { readonly sizeBytes: number; readonly sha256: string }
  /** The sha256 of each segment, in hex. */
  readonly segments: readonly string[]
}

/** An archive being hashed. */
export interface ArchiveDigester {
  write(chunk: Buffer): void
  end(): DigestedArchive
}

/** @param segments - which of them are hashed by themselves, too; one after the other, as metadata has them */
export function digestArchive(
  segments: readonly Pick<Segment, 'sizeBytes'>[] = [],
): ArchiveDigester {
  const hash = createHash('sha256')
  const digester = digestSegments(segments)
  let sizeBytes = 0
  return {
    write(chunk) {
      hash.update(chunk)
      digester.write(chunk)
      sizeBytes += chunk.length
    },
    end: () => ({ archive: { sizeBytes, sha256: hash.digest('hex') }, segments: digester.end() }),
  }
}

/** Segments being hashed. */
export interface SegmentDigester {
  write(chunk: Buffer): void
  /** @returns the sha256 of each segment, in hex */
  end(): string[]
}

/** @param segments - the segments in the order of the archive, without gaps */
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
