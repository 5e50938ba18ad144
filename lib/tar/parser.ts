// Parses a tar as its bytes arrive. It tells header, content and padding apart, and
// reports each member with its long names and pax records applied.
import { ToolError } from '../core/errors.ts'
import { MAKE_TAR_AGAIN } from '../core/hints.ts'
import { BLOCK_BYTES, paddingBytes, readHeader, normalizeHeader, type TarHeader } from './header.ts'
import { MAX_NAME_BYTES, META_TYPES, readMeta, type Overrides } from './pax.ts'

/** A member of a tar, with long names and pax records applied. */
export interface TarMember {
  readonly path: string
  /** The type flag, see {@link TarHeader}. */
  readonly type: string
  readonly sizeBytes: number
  /** The offset of its content in the tar. */
  readonly offsetBytes: number
  readonly linkPath: string
  /** Whether the member is a GNU sparse file: its content leaves out the holes. */
  readonly sparse: boolean
}

/** Is called with what the parser finds, in the order of the tar. */
export interface TarListener {
  /** A meta header was read: its content describes the next member, or all that follow. */
  meta(of: 'next' | 'all'): void
  /** The header of a member was read. @returns whether the input holds the member's content */
  member(member: TarMember): boolean
  /** A part of the content of the last member was read; called any number of times. */
  content(bytes: Buffer): void
  /** All content of the last member was read. */
  memberEnd(): void
  /** A block of zeros was read; two of them end a tar. */
  zeros(): void
}

// The most bytes of pax records and long names before one member. They are read into
// memory; real ones take some kilobytes.
const MAX_META_BYTES = 2 * 1024 * 1024

/** The parser of one tar. */
export class TarParser {
  readonly #listener: TarListener
  readonly #normalize: boolean
  #inContent = false
  #atBytes = 0
  #contentLeft = 0
  #paddingLeft = 0
  #zeroBlocks = 0
  #inSparseMap = false
  #metaBytes = 0
  #meta: { type: string; parts: Buffer[] } | undefined
  #overrides: Overrides = {}

  /**
   * @param listener - is called with each member
   * @param normalize - whether to set times and owners to constants, in place
   */
  constructor(listener: TarListener, normalize: boolean) {
    this.#listener = listener
    this.#normalize = normalize
  }

  /** The offset in the tar; it counts content that the input does not hold. */
  get atBytes(): number {
    return this.#atBytes
  }

  /** Whether the last step read content of a member or of a meta header. */
  get inContent(): boolean {
    return this.#inContent
  }

  /** Number of blocks of zeros so far; the second one ends the tar. */
  get zeroBlocks(): number {
    return this.#zeroBlocks
  }

  /**
   * Reads one part of the next bytes: content, padding, or a whole block.
   *
   * @returns how many bytes it has read; 0 if it needs a block and there is less
   * @throws BAD_TAR if the tar is damaged, or a name in it is too long
   */
  step(bytes: Buffer): number {
    const taken = this.#take(bytes)
    this.#atBytes += taken
    return taken
  }

  #take(bytes: Buffer): number {
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
      this.#listener.zeros()
      return
    }
    if (this.#zeroBlocks > 0) throw brokenTarError(this.#atBytes, 'data after its end')
    if (this.#normalize) normalizeHeader(block)
    const isMeta = META_TYPES.has(header.type)
    const sizeBytes = (isMeta ? undefined : this.#overrides.sizeBytes) ?? header.sizeBytes
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) {
      throw brokenTarError(this.#atBytes, 'a size that is not a number')
    }
    this.#contentLeft = sizeBytes
    this.#paddingLeft = paddingBytes(sizeBytes)
    this.#inSparseMap = header.extended
    if (isMeta) this.#startMeta(header.type, sizeBytes)
    else this.#startMember(header, sizeBytes)
    this.#endIfEmpty()
  }

  #startMeta(type: string, sizeBytes: number): void {
    const isName = type === 'L' || type === 'K'
    this.#metaBytes += sizeBytes + BLOCK_BYTES
    if (isName && sizeBytes > MAX_NAME_BYTES) throw brokenTarError(this.#atBytes, 'a name too long')
    if (this.#metaBytes > MAX_META_BYTES)
      throw brokenTarError(this.#atBytes, 'too much about one member')
    this.#meta = { type, parts: [] }
    this.#listener.meta(type === 'g' ? 'all' : 'next')
  }

  #startMember(header: TarHeader, sizeBytes: number): void {
    const { path = header.path, linkPath = header.linkPath, sparse = false } = this.#overrides
    this.#overrides = {}
    this.#metaBytes = 0
    const member: TarMember = {
      path,
      linkPath,
      // Old tars have no type for directories: a directory is a file named `dir/`.
      type: header.type === '0' && path.endsWith('/') ? '5' : header.type,
      sizeBytes,
      offsetBytes: this.#atBytes + BLOCK_BYTES,
      sparse: sparse || header.type === 'S',
    }
    if (this.#listener.member(member)) return
    this.#contentLeft = 0
    this.#atBytes += sizeBytes
  }

  #sparseMap(block: Buffer): void {
    this.#inSparseMap = block[504] === 1
    this.#endIfEmpty()
  }

  #content(bytes: Buffer): void {
    this.#contentLeft -= bytes.length
    if (this.#meta) this.#meta.parts.push(Buffer.from(bytes))
    else this.#listener.content(bytes)
    this.#endIfEmpty()
  }

  #endIfEmpty(): void {
    if (this.#contentLeft > 0 || this.#inSparseMap) return
    if (this.#meta) {
      const { type, parts } = this.#meta
      Object.assign(this.#overrides, readMeta(type, Buffer.concat(parts)))
      this.#meta = undefined
    } else this.#listener.memberEnd()
  }
}

function brokenTarError(atBytes: number, what: string): ToolError {
  return new ToolError('BAD_TAR', `read tar at byte ${atBytes}: ${what}`, { hint: MAKE_TAR_AGAIN })
}
