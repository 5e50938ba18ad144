// A decoder's output is one stream; the parts of it are told by their sizes.
import { sizeMismatchError } from '../io/byte-reader.ts'
import type { TarScan } from './pipeline.ts'

/** One part of what is decoded: a layer, or a segment of a tar. */
export interface ScannedPart {
  readonly sizeBytes: number
  /** @returns what the sink gets before it */
  readonly begin?: () => Iterable<Buffer>
  /** @returns what the sink gets of these bytes of it */
  readonly write: (bytes: Buffer) => Iterable<Buffer>
  /** @returns what the sink gets after it. @throws if it is not what it should be */
  readonly end?: () => Iterable<Buffer>
}

/** Looks at parts that come one after the other. */
export class PartScan implements TarScan {
  readonly #parts: Iterator<ScannedPart>
  #current: ScannedPart | undefined
  #leftBytes = 0

  constructor(parts: Iterable<ScannedPart>) {
    this.#parts = parts[Symbol.iterator]()
  }

  /** @throws MISMATCH if there are more bytes than the parts have */
  *write(chunk: Buffer): Generator<Buffer> {
    for (let rest = chunk; rest.length > 0;) {
      yield* this.#advance()
      if (!this.#current) throw sizeMismatchError('more')
      const bytes = rest.subarray(0, this.#leftBytes)
      rest = rest.subarray(bytes.length)
      this.#leftBytes -= bytes.length
      yield* this.#current.write(bytes)
    }
  }

  /** @throws TRUNCATED_TAR if there were fewer bytes than the parts have */
  *end(): Generator<Buffer> {
    yield* this.#advance()
    if (this.#current) throw sizeMismatchError('fewer')
  }

  /** Ends the part that is complete, and begins the next one that is not empty. */
  *#advance(): Generator<Buffer> {
    while (this.#leftBytes === 0) {
      yield* this.#current?.end?.() ?? []
      const next = this.#parts.next()
      this.#current = next.done ? undefined : next.value
      if (!this.#current) return
      this.#leftBytes = this.#current.sizeBytes
      yield* this.#current.begin?.() ?? []
    }
  }
}
