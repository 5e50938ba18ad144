// Collects what a tar transform emits of one chunk, in as few pieces as possible, because
// each piece costs a write. A piece ends only where the content of a member with its own
// segment begins or ends.
import type { TarMember } from './parser.ts'

/** A piece of a tar; the pieces come in the order of the tar. */
export interface TarPiece {
  readonly bytes: Buffer
  /** The member whose content it is, if the member gets its own segment; else undefined. */
  readonly member: TarMember | undefined
}

/** Collects the pieces of one chunk while the chunk is parsed. */
export class PieceCollector {
  readonly #chunk: Buffer
  readonly #pieces: { parts: Buffer[]; member: TarMember | undefined }[] = []
  #from = 0
  #to = 0

  /** @param chunk - the bytes that are parsed */
  constructor(chunk: Buffer) {
    this.#chunk = chunk
  }

  /**
   * Adds a range of the chunk.
   *
   * @param from - the start of the range in the chunk, in bytes
   * @param to - the end of the range in the chunk, in bytes
   * @param member - the member whose content it is, if the member gets its own segment
   */
  add(from: number, to: number, member: TarMember | undefined): void {
    const isNext = from === this.#to && this.#pieces.at(-1)?.member === member
    if (!isNext || this.#pieces.length === 0) {
      this.#cut()
      this.#begin(member)
      this.#from = from
    }
    this.#to = to
  }

  /** Adds bytes that the transform kept back so far, perhaps from an earlier chunk. */
  addKept(bytes: readonly Buffer[]): void {
    this.#cut()
    this.#begin(undefined)
    this.#pieces.at(-1)?.parts.push(...bytes)
  }

  /** @returns the pieces of the chunk, without empty ones. */
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
