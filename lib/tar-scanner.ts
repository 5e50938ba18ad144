// Walks a tar as its bytes go past, in whatever chunks they come. The bytes
// are handed on as they are, but for the constants where those are wanted.
import { ToolError } from './errors.ts'
import { META_TYPES, readMeta, type Overrides } from './tar-meta.ts'
import { BLOCK_BYTES, readHeader, setConstants, type TarHeader } from './tar-header.ts'

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

/** Told of the members in their order. */
export interface TarVisitor {
  /** A header was read. */
  member(member: TarMember): void
  /** Some content of the last member: any number of calls. */
  content(bytes: Buffer): void
  /** All content of the last member was seen. */
  memberEnd(): void
}

// Pax records and long names are read into memory: some kilobytes in life.
const MAX_META_BYTES = 1024 * 1024

/** A walk over one tar. */
export class TarScanner {
  readonly #visitor: TarVisitor
  readonly #constant: boolean
  #partial: Buffer = Buffer.alloc(0)
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
   * @param options - `constant`: set times and owners to constants
   */
  constructor(visitor: TarVisitor, options: { constant: boolean }) {
    this.#visitor = visitor
    this.#constant = options.constant
  }

  /**
   * @param chunk - the next bytes; they may be changed in place
   * @returns the bytes to hand on, which lag by less than a block
   * @throws BAD_TAR
   */
  write(chunk: Buffer): Buffer {
    const bytes = this.#partial.length > 0 ? Buffer.concat([this.#partial, chunk]) : chunk
    let at = 0
    while (at < bytes.length && !this.#ended) {
      const step = this.#step(bytes.subarray(at))
      if (step === 0) break
      at += step
      this.#atBytes += step
    }
    const done = this.#ended ? bytes.length : at
    this.#trailingBytes += done - at
    this.#partial = Buffer.from(bytes.subarray(done))
    return bytes.subarray(0, done)
  }

  /**
   * @returns the tar's size in bytes: all of it, and up to the end it names
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
    if (this.#contentLeft > 0 && !this.#inSparseMap) {
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
      return
    }
    if (this.#zeroBlocks > 0) throw broken(this.#atBytes, 'data after its end')
    if (this.#constant) setConstants(block)
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
  }

  #startMember(header: TarHeader, sizeBytes: number): void {
    const { path = header.path, linkPath = header.linkPath, sparse = false } = this.#overrides
    this.#overrides = {}
    this.#visitor.member({
      path,
      linkPath,
      // Before there was a type for it, a directory was a file named `dir/`.
      type: header.type === '0' && path.endsWith('/') ? '5' : header.type,
      sizeBytes,
      offsetBytes: this.#atBytes + BLOCK_BYTES,
      sparse: sparse || header.type === 'S',
    })
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
