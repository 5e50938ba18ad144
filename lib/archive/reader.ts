// A whole archive, to its end: the file is hashed, decoded and the tar digested
// as it goes past. What the bytes were is known, and verified, at their end.
import { codecOf } from '../codec/formats.ts'
import { MAGIC_BYTES } from '../codec/magic.ts'
import { readStreams } from '../codec/xz/file.ts'
import { ToolError } from '../core/errors.ts'
import { COPY_CHANGED_ARCHIVE } from '../core/hints.ts'
import type { ArchiveMetadata } from '../delivery/metadata.ts'
import { readImages, type ArchivedImage } from '../image/docker-archive.ts'
import type { StdinSink } from '../image/sink.ts'
import { archiveAt, readStart, wholeArchive, type ArchiveRange } from '../io/archive-file.ts'
import { TarDigester, type TarDigest } from '../tar/digest.ts'
import { LayerVerifier } from './layer-verifier.ts'
import { readThrough, type ReadingOptions, type TarScan } from './pipeline.ts'
import { digestArchive, type DigestedArchive } from './segment-digest.ts'

/** What an archive was found to be. */
export interface ReadArchive extends DigestedArchive {
  readonly tar: TarDigest
  /** The images in the tar, each verified whole; empty if the tar is not a saved image. */
  readonly images: readonly ArchivedImage[]
}

/** What {@link readArchive} needs. */
export interface ReadOptions extends ReadingOptions {
  /** Path of the archive. */
  readonly archive: string
  /**
   * What it should be: its segments, which are hashed; the size of its tar, where one that
   * has more bytes ends; and the layers that an increment leaves to other archives.
   */
  readonly metadata: Pick<ArchiveMetadata, 'segments' | 'tar' | 'requires'> | undefined
  /** Whether the content md5 is wanted. */
  readonly md5: boolean
  /** Whether compressed layers are decompressed and compared, too. */
  readonly verifyLayers?: boolean
}

/** Receives a tar; it gets the end only after the archive is verified. */
export interface VerifiedSink extends StdinSink {
  /** Throws if the archive is not what it should be; then the receiver does not get the end. */
  readonly verify: (read: ReadArchive) => Promise<void>
}

/**
 * Reads an archive to its end, and sends the tar to the sink, if there is one.
 *
 * @throws BAD_ARCHIVE, TRUNCATED_TAR, BAD_TAR or BAD_IMAGE if it is damaged; MISMATCH if its
 *   tar is larger than expected
 */
export async function readArchive(options: ReadOptions, sink?: VerifiedSink): Promise<ReadArchive> {
  const { archive, metadata, decompressors } = options
  const range = await wholeArchive(archiveAt(archive))
  // From a pipe it does not compare the blocks of a stream with its index, and what
  // follows the last stream it does not look at; metadata would tell.
  const isUnverifiedByPixz = !metadata && decompressors.xz.name === 'pixz' && (await isXz(range))
  const verifier = options.verifyLayers ? new LayerVerifier() : undefined
  const scan = new WholeScan(options, verifier)
  const digester = digestArchive(metadata?.segments)
  let read: ReadArchive | undefined
  // An engine may be gone when it has the end of the tar.
  const verify = async (): Promise<void> => {
    const tar = await scan.digest()
    if (isUnverifiedByPixz) await readStreams(range)
    read = { ...digester.end(), tar, images: readImages(tar, metadata?.requires) }
    await sink?.verify(read)
  }
  const onBytes = (chunk: Buffer): void => digester.write(chunk)
  try {
    await readThrough({ parts: [{ archive }], onBytes, scan, verify }, options, sink)
  } finally {
    await verifier?.stop()
  }
  if (!read) throw new Error('the archive was not read to its end')
  return read
}

/** Digests a tar, of which no more bytes may come than it should have. */
class WholeScan implements TarScan {
  readonly #digester: TarDigester
  readonly #verifier: LayerVerifier | undefined
  readonly #maxBytes: number
  #tarBytes = 0

  constructor({ md5, metadata }: ReadOptions, verifier: LayerVerifier | undefined) {
    this.#digester = new TarDigester({ normalize: false, md5, toEnd: true, tap: verifier })
    this.#verifier = verifier
    this.#maxBytes = metadata?.tar.sizeBytes ?? Infinity
  }

  write(chunk: Buffer): Buffer[] {
    this.#tarBytes += chunk.length
    if (this.#tarBytes > this.#maxBytes) throw grown(this.#maxBytes)
    return this.#digester.write(chunk).map(({ bytes }) => bytes)
  }

  ready(): Promise<unknown> | undefined {
    return this.#verifier?.ready()
  }

  async digest(): Promise<TarDigest> {
    const decoded = await this.#verifier?.end()
    return { ...this.#digester.end(), ...(decoded && { decoded }) }
  }
}

// Some MiB may come to terabytes: nobody waits for the end of them.
function grown(maxBytes: number): ToolError {
  return new ToolError(
    'MISMATCH',
    `check size of the tar: got more than ${maxBytes} bytes, want ${maxBytes}`,
    { hint: COPY_CHANGED_ARCHIVE },
  )
}

async function isXz(range: ArchiveRange): Promise<boolean> {
  return codecOf(await readStart(range, MAGIC_BYTES)) === 'xz'
}
