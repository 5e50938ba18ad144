// Reports the members of a tar and emits its bytes, unchanged except in two ways: it can
// set times and owners to constants, and it can drop members.
import { ToolError } from '../core/errors.ts'
import { MAKE_TAR_AGAIN } from '../core/hints.ts'
import { TarParser, type TarListener, type TarMember } from './parser.ts'
import { PieceCollector, type TarPiece } from './pieces.ts'

/**
 * How a member is emitted. `inline`: with the bytes around it. `own segment`: its content
 * in pieces of its own. `skipped`: neither headers nor content are emitted. `external`:
 * the same, and the input does not hold its content either.
 */
export type Treatment = 'inline' | 'own segment' | 'skipped' | 'external'

/** How to transform a tar. */
export interface ScanOptions {
  /** Whether to set times and owners to constants. */
  readonly normalize: boolean
  /** Says how to emit a member; without it all members are `inline`. */
  readonly treat?: ((member: TarMember) => Treatment) | undefined
  /** Whether to drop the bytes after the end of the tar (the second block of zeros). */
  readonly toEnd?: boolean | undefined
}

/** Is called with the members, in the order of the tar. */
export interface TarVisitor extends Pick<TarListener, 'content' | 'memberEnd'> {
  /** The header of a member was read. */
  member(member: TarMember): void
}

const NOTHING = Buffer.alloc(0)

/** The transform of one tar. */
export class TarTransform {
  readonly #parser: TarParser
  #pieces = new PieceCollector(NOTHING)
  /** Long names and pax records, until it is known whether their member is dropped. */
  #kept: Buffer[] = []
  /** What to do with the current bytes. */
  #action: 'handed on' | 'kept' | 'dropped' = 'handed on'
  #apart: TarMember | undefined
  #partial: Buffer = NOTHING
  #trailingBytes = 0
  readonly #toEnd: boolean

  /**
   * @param visitor - is called with each member
   * @param options - how to transform the tar
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
    this.#parser = new TarParser(listener, normalize)
  }

  /**
   * @param chunk - the next bytes; the transform may change them in place
   * @returns the bytes to emit. Less than a block may be kept for the next call; with
   *   `treat` also long names and pax records, until their member is known
   * @throws BAD_TAR if the tar is damaged
   */
  write(chunk: Buffer): TarPiece[] {
    const bytes = this.#partial.length > 0 ? Buffer.concat([this.#partial, chunk]) : chunk
    this.#pieces = new PieceCollector(bytes)
    let at = 0
    while (at < bytes.length && !this.#ended) {
      const step = this.#parser.step(bytes.subarray(at))
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
   * @returns the size of the tar, members that were not emitted included. `sizeBytes`
   *   counts all bytes; `endBytes` counts up to the end that blocks of zeros mark
   * @throws TRUNCATED_TAR if the tar stops before its end
   */
  end(): { sizeBytes: number; endBytes: number } {
    const { atBytes, zeroBlocks } = this.#parser
    if (zeroBlocks === 0 || this.#partial.length > 0) {
      const stopBytes = atBytes + this.#partial.length
      throw new ToolError(
        'TRUNCATED_TAR',
        `read tar: it stops at byte ${stopBytes}, before its end`,
        { hint: MAKE_TAR_AGAIN },
      )
    }
    return { sizeBytes: atBytes + this.#trailingBytes, endBytes: atBytes }
  }

  get #ended(): boolean {
    return this.#parser.zeroBlocks === 2
  }

  #handOn(bytes: Buffer, from: number, to: number): void {
    if (this.#action === 'kept') this.#kept.push(Buffer.from(bytes.subarray(from, to)))
    if (this.#action !== 'handed on') return
    if (this.#kept.length > 0) this.#pieces.addKept(this.#kept)
    this.#kept = []
    this.#pieces.add(from, to, this.#parser.inContent ? this.#apart : undefined)
  }

  #treat(member: TarMember, treatment: Treatment): void {
    const isDropped = treatment === 'skipped' || treatment === 'external'
    this.#action = isDropped ? 'dropped' : 'handed on'
    this.#apart = treatment === 'own segment' ? member : undefined
    if (isDropped) this.#kept = []
  }
}
