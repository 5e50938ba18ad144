// A tar on its way: the members are told of, and the bytes handed on as they are,
// but for the constants where those are wanted, and for members that are to be
// left out.
import { ToolError } from '../core/errors.ts'
import { PieceCollector, type TarPiece } from './pieces.ts'
import { MAKE_AGAIN, TarParser, type TarListener, type TarMember } from './parser.ts'

/**
 * How a member is handed on: `together` with what is around it; its content
 * `apart`, in pieces of its own; `left out`, neither header nor content; or
 * `absent`, where its content is not in the bytes that are read either.
 */
export type Treatment = 'inline' | 'own segment' | 'skipped' | 'external'

/** How a tar is walked. */
export interface ScanOptions {
  /** Whether times and owners are set to constants. */
  readonly normalize: boolean
  /** How to hand on a member; without it all are handed on together. */
  readonly treat?: ((member: TarMember) => Treatment) | undefined
  /** Whether bytes are handed on up to the end that the tar names only. */
  readonly toEnd?: boolean | undefined
}

/** Told of the members in their order. */
export interface TarVisitor extends Pick<TarListener, 'content' | 'memberEnd'> {
  /** A header was read. */
  member(member: TarMember): void
}

const NOTHING = Buffer.alloc(0)

/** A walk over one tar. */
export class TarTransform {
  readonly #walker: TarParser
  #pieces = new PieceCollector(NOTHING)
  /** Headers of long names, until it is known whether their member is left out. */
  #kept: Buffer[] = []
  /** What becomes of a header and what belongs to it, but for content apart. */
  #action: 'handed on' | 'kept' | 'dropped' = 'handed on'
  #apart: TarMember | undefined
  #partial: Buffer = NOTHING
  #trailingBytes = 0
  readonly #toEnd: boolean

  /**
   * @param visitor - told of each member
   * @param options - how to walk
   */
  constructor(visitor: TarVisitor, { normalize, treat, toEnd = false }: ScanOptions) {
    this.#toEnd = toEnd
    const listener: TarListener = {
      meta: (of) => {
        this.#apart = undefined
        this.#action = treat && of === 'next' ? 'kept' : 'handed on'
      },
      member: (member) => {
        const treatment = treat?.(member) ?? 'inline'
        this.#treat(member, treatment)
        visitor.member(member)
        return treatment !== 'external'
      },
      content: (bytes) => visitor.content(bytes),
      memberEnd: () => visitor.memberEnd(),
      zeros: () => {
        this.#action = 'handed on'
      },
    }
    this.#walker = new TarParser(listener, normalize)
  }

  /**
   * @param chunk - the next bytes; they may be changed in place
   * @returns the bytes to hand on, which lag by less than a block, or by long
   *   names where members may be left out
   * @throws BAD_TAR
   */
  write(chunk: Buffer): TarPiece[] {
    const bytes = this.#partial.length > 0 ? Buffer.concat([this.#partial, chunk]) : chunk
    this.#pieces = new PieceCollector(bytes)
    let at = 0
    while (at < bytes.length && !this.#ended) {
      const step = this.#walker.step(bytes.subarray(at))
      if (step === 0) break
      this.#handOn(bytes, at, at + step)
      at += step
    }
    const done = this.#ended ? bytes.length : at
    if (this.#ended && !this.#toEnd) this.#pieces.add(at, done, undefined)
    this.#trailingBytes += done - at
    this.#partial = Buffer.from(bytes.subarray(done))
    return this.#pieces.finish()
  }

  /**
   * @returns the tar's size in bytes, with what is left out or absent: all of
   *   it, and up to the end it names
   * @throws TRUNCATED_TAR where the tar stops before its end
   */
  end(): { sizeBytes: number; endBytes: number } {
    const { atBytes, zeroBlocks } = this.#walker
    if (zeroBlocks === 0 || this.#partial.length > 0) {
      const stopBytes = atBytes + this.#partial.length
      throw new ToolError(
        'TRUNCATED_TAR',
        `read tar: it stops at byte ${stopBytes}, before its end`,
        { hint: MAKE_AGAIN },
      )
    }
    return { sizeBytes: atBytes + this.#trailingBytes, endBytes: atBytes }
  }

  get #ended(): boolean {
    return this.#walker.zeroBlocks === 2
  }

  #handOn(bytes: Buffer, from: number, to: number): void {
    if (this.#action === 'kept') this.#kept.push(Buffer.from(bytes.subarray(from, to)))
    if (this.#action !== 'handed on') return
    if (this.#kept.length > 0) this.#pieces.addKept(this.#kept)
    this.#kept = []
    this.#pieces.add(from, to, this.#walker.inContent ? this.#apart : undefined)
  }

  #treat(member: TarMember, treatment: Treatment): void {
    const isDropped = treatment === 'skipped' || treatment === 'external'
    this.#action = isDropped ? 'dropped' : 'handed on'
    this.#apart = treatment === 'own segment' ? member : undefined
    if (isDropped) this.#kept = []
  }
}
