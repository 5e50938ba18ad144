// Walks a tar as its bytes go past, in whatever chunks they come. The bytes
// are handed on as they are, but for the constants where those are wanted, and
// for members that are to be left out.
import { ToolError } from './errors.ts'
import { META_TYPES, readMeta, type Overrides } from './tar-meta.ts'
import { BLOCK_BYTES, readHeader, setConstants, type TarHeader } from './tar-header.ts'
import { PieceCollector, type TarPiece } from './tar-piece.ts'

/** A member of a tar, long names and pax records applied. */
export interface TarMember {
  readonly path: string
  /** The type flag, see {@link TarHeader}. */
  readonly type: string
  readonly sizeBytes: number
  /** Where its content starts in the tar. */
  readonly offsetBytes: number
  readonly linkPath: string
  /** Whether the content is a GNU sparse map and what it maps. */
  readonly sparse: boolean
}

/**
 * How a member is handed on: `together` with what is around it; its content
 * `apart`, in pieces of its own; `left out`, neither header nor content; or
 * `absent`, where its content is not in the bytes that are read either.
 */
export type Treatment = 'together' | 'apart' | 'left out' | 'absent'

/** How a tar is walked. */
export interface ScanOptions {
  /** Whether times and owners are set to constants. */
  readonly constant: boolean
  /** How to hand on a member; without it all are handed on together. */
  readonly treat?: ((member: TarMember) => Treatment) | undefined
}

/** Told of the members in their order. */
export interface TarVisitor {
  /** A header was read. */
  member(member: TarMember): void
  /** Some content of the last member: any number of calls. */
  content(bytes: Buffer): void
  /** All content of the last member was seen. */
  memberEnd(): void
}

const NOTHING = Buffer.alloc(0)

// Pax records and long names are read into memory: some kilobytes in life.
const MAX_META_BYTES = 1024 * 1024

/** A walk over one tar. */
export class TarScanner {
  readonly #visitor: TarVisitor
  readonly #options: ScanOptions
  #pieces = new PieceCollector(NOTHING)
  /** Headers of long names, until it is known whether their member is left out. */
  #kept: Buffer[] = []
  /** What becomes of a header and what belongs to it, but for content apart. */
  #fate: 'handed on' | 'kept' | 'dropped' = 'handed on'
  #apart: TarMember | undefined
  #inContent = false
  #partial: Buffer = NOTHING
  #atBytes = 0
  #trailingBytes = 0
  #contentLeft = 0
  #paddingLeft = 0
  #zeroBlocks = 0
  #inSparseMap = false
  #meta: { type: string; parts: Buffer[] } | undefined
  #overrides: Overrides = {}

  /**
   * @param visitor - told of each member
   * @param options - how to walk
   */
  constructor(visitor: TarVisitor, options: ScanOptions) {
    this.#visitor = visitor
    this.#options = options
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
      const step = this.#step(bytes.subarray(at))
      if (step === 0) break
      this.#handOn(bytes, at, at + step)
      at += step
      this.#atBytes += step
    }
    const done = this.#ended ? bytes.length : at
    if (this.#ended) this.#pieces.add(at, done, undefined)
    this.#trailingBytes += done - at
    this.#partial = Buffer.from(bytes.subarray(done))
    return this.#pieces.finish()
  }

  #handOn(bytes: Buffer, from: number, to: number): void {
    if (this.#fate === 'kept') this.#kept.push(Buffer.from(bytes.subarray(from, to)))
    if (this.#fate !== 'handed on') return
    if (this.#kept.length > 0) this.#pieces.addKept(this.#kept)
    this.#kept = []
    this.#pieces.add(from, to, this.#inContent ? this.#apart : undefined)
  }

  /**
   * @returns the tar's size in bytes, with what is left out or absent: all of
   *   it, and up to the end it names
   * @throws TRUNCATED_TAR where the tar stops before its end
   */
  end(): { sizeBytes: number; endBytes: number } {
    if (this.#zeroBlocks === 0 || this.#partial.length > 0) {
      const atBytes = this.#atBytes + this.#partial.length
      throw new ToolError(
        'TRUNCATED_TAR',
        `read tar: it stops at byte ${atBytes}, before its end`,
        {
          hint: MAKE_AGAIN,
        },
      )
    }
    return {
      sizeBytes: this.#atBytes + this.#trailingBytes,
      endBytes: this.#atBytes,
    }
  }

  get #ended(): boolean {
    return this.#zeroBlocks === 2
  }

  // Takes what it can of the bytes: content, padding, or a whole block.
  #step(bytes: Buffer): number {
    this.#inContent = this.#contentLeft > 0 && !this.#inSparseMap
    if (this.#inContent) {
      const content = bytes.subarray(0, this.#contentLeft)
      this.#content(content)
      return content.length
    }
    if (this.#paddingLeft > 0 && !this.#inSparseMap) {
      const padding = Math.min(bytes.length, this.#paddingLeft)
      this.#paddingLeft -= padding
      return padding
    }
    if (bytes.length < BLOCK_BYTES) return 0
    const block = bytes.subarray(0, BLOCK_BYTES)
    if (this.#inSparseMap) this.#sparseMap(block)
    else this.#header(block)
    return BLOCK_BYTES
  }

  #header(block: Buffer): void {
    const header = readHeader(block, this.#atBytes)
    if (header === undefined) {
      this.#zeroBlocks++
      this.#fate = 'handed on'
      return
    }
    if (this.#zeroBlocks > 0) throw broken(this.#atBytes, 'data after its end')
    if (this.#options.constant) setConstants(block)
    const isMeta = META_TYPES.has(header.type)
    const sizeBytes = (isMeta ? undefined : this.#overrides.sizeBytes) ?? header.sizeBytes
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) {
      throw broken(this.#atBytes, 'a size that is no number')
    }
    this.#contentLeft = sizeBytes
    this.#paddingLeft = (BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES
    this.#inSparseMap = header.extended
    if (isMeta) this.#startMeta(header.type, sizeBytes)
    else this.#startMember(header, sizeBytes)
    this.#endIfEmpty()
  }

  #startMeta(type: string, sizeBytes: number): void {
    if (sizeBytes > MAX_META_BYTES) throw broken(this.#atBytes, 'a name too long')
    this.#meta = { type, parts: [] }
    this.#apart = undefined
    // A global header speaks of no member in particular.
    this.#fate = this.#options.treat && type !== 'g' ? 'kept' : 'handed on'
  }

  #startMember(header: TarHeader, sizeBytes: number): void {
    const { path = header.path, linkPath = header.linkPath, sparse = false } = this.#overrides
    this.#overrides = {}
    const member: TarMember = {
      path,
      linkPath,
      // Before there was a type for it, a directory was a file named `dir/`.
      type: header.type === '0' && path.endsWith('/') ? '5' : header.type,
      sizeBytes,
      offsetBytes: this.#atBytes + BLOCK_BYTES,
      sparse: sparse || header.type === 'S',
    }
    this.#treat(member)
    this.#visitor.member(member)
  }

  #treat(member: TarMember): void {
    const treatment = this.#options.treat?.(member) ?? 'together'
    const isDropped = treatment === 'left out' || treatment === 'absent'
    this.#fate = isDropped ? 'dropped' : 'handed on'
    this.#apart = treatment === 'apart' ? member : undefined
    if (isDropped) this.#kept = []
    if (treatment !== 'absent') return
    this.#contentLeft = 0
    this.#atBytes += member.sizeBytes
  }

  #sparseMap(block: Buffer): void {
    this.#inSparseMap = block[504] === 1
    this.#endIfEmpty()
  }

  #content(bytes: Buffer): void {
    this.#contentLeft -= bytes.length
    if (this.#meta) this.#meta.parts.push(Buffer.from(bytes))
    else this.#visitor.content(bytes)
    this.#endIfEmpty()
  }

  #endIfEmpty(): void {
    if (this.#contentLeft > 0 || this.#inSparseMap) return
    if (this.#meta) {
      const { type, parts } = this.#meta
      Object.assign(this.#overrides, readMeta(type, Buffer.concat(parts)))
      this.#meta = undefined
    } else this.#visitor.memberEnd()
  }
}

const MAKE_AGAIN = 'the tar is damaged or was cut off: make it again'

function broken(atBytes: number, what: string): ToolError {
  return new ToolError('BAD_TAR', `read tar at byte ${atBytes}: ${what}`, {
    hint: MAKE_AGAIN,
  })
}
