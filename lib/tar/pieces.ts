// What a tar scanner hands on of a chunk: as few pieces as can be, since each
// of them costs a write. Only the content of a member that is wanted apart, or
// something that is left out, ends one.
import type { TarMember } from './parser.ts'

/** Bytes of a tar, in their order. */
export interface TarPiece {
  readonly bytes: Buffer
  /** The member whose content it is, where that is wanted apart. */
  readonly member: TarMember | undefined
}

/** The pieces of one chunk while it is scanned. */
export class PieceCollector {
  readonly #chunk: Buffer
  readonly #pieces: { parts: Buffer[]; member: TarMember | undefined }[] = []
  #from = 0
  #to = 0

  /** @param chunk - what is scanned */
  constructor(chunk: Buffer) {
    this.#chunk = chunk
  }

  /** Hands on a range of the chunk. */
  add(from: number, to: number, member: TarMember | undefined): void {
    const isNext = from === this.#to && this.#pieces.at(-1)?.member === member
    if (!isNext || this.#pieces.length === 0) {
      this.#cut()
      this.#begin(member)
      this.#from = from
    }
    this.#to = to
  }

  /** Hands on what was kept from an earlier chunk. */
  addKept(bytes: readonly Buffer[]): void {
    this.#cut()
    this.#begin(undefined)
    this.#pieces.at(-1)?.parts.push(...bytes)
  }

  /** @returns the pieces. */
  finish(): TarPiece[] {
    this.#cut()
    return this.#pieces
      .map(({ parts, member }) => ({ bytes: join(parts), member }))
      .filter(({ bytes }) => bytes.length > 0)
  }

  #begin(member: TarMember | undefined): void {
    const last = this.#pieces.at(-1)
    if (!last || last.member !== member) this.#pieces.push({ parts: [], member })
  }

  #cut(): void {
    if (this.#to > this.#from) {
      this.#pieces.at(-1)?.parts.push(this.#chunk.subarray(this.#from, this.#to))
    }
    this.#from = this.#to
  }
}

function join(parts: readonly Buffer[]): Buffer {
  const [only] = parts
  return parts.length === 1 && only ? only : Buffer.concat(parts)
}
