// Archive in, tar out: the file is hashed, decompressed and the tar digested
// as it goes past. What the bytes were is known, and verified, at their end.
import { createHash } from 'node:crypto'
import { pipeline } from 'node:stream/promises'

import type { Segment } from '../delivery/metadata.ts'
import { allWork, withChildren, type Task } from '../io/child.ts'
import { codecOf } from '../codec/formats.ts'
import { MAGIC_BYTES } from '../codec/magic.ts'
import type { Decompressors } from '../codec/programs.ts'
import { startDecompressor } from '../codec/decompress.ts'
import { readImages, type ArchivedImage, type ExternalLayer } from '../image/docker-archive.ts'
import { sendTar } from '../io/withhold-tail.ts'
import { ToolError } from '../core/errors.ts'
import { readStart, streamFile, wholeFile, type FileRange } from '../io/file-range.ts'
import { createLayerVerifier } from './layer-verifier.ts'
import type { ProgressListener } from '../core/outcome.ts'
import { digestSegments } from './segment-digest.ts'
import { TarDigester, type TarDigest } from '../tar/digest.ts'
import { readStreams } from '../codec/xz/file.ts'

/** What an archive was found to be. */
export interface ReadArchive {
  readonly archive: { readonly sizeBytes: number; readonly sha256: string }
  /** The sha256 of the segments that were asked for. */
  readonly segments: readonly string[]
  readonly tar: TarDigest
  /** The images in it, each whole; none where its tar is not a saved image. */
  readonly images: readonly ArchivedImage[]
}

/** What {@link readArchive} needs. */
export interface ReadOptions {
  /** Path of the archive. */
  readonly archive: string
  readonly decompressors: Decompressors
  readonly threads: number | undefined
  /** Whether the content md5 is wanted. */
  readonly md5: boolean
  /** As many bytes as its tar should have: one that has more ends there. */
  readonly tarBytes?: number | undefined
  /** The segments that it should have. */
  readonly segments?: readonly Segment[] | undefined
  /** Layers that an increment leaves to other archives; they are not looked at. */
  readonly requires?: readonly ExternalLayer[] | undefined
  /** Whether compressed layers are decompressed and compared, too. */
  readonly verifyLayers?: boolean
  readonly onProgress: ProgressListener
  readonly signal: AbortSignal
}

/** Where a tar goes to, and what must hold before it gets the end of it. */
export interface Sink {
  /** Starts what takes it. */
  readonly start: () => Task
  /** Throws where the archive is not what it should be. */
  readonly verify: (read: ReadArchive) => Promise<void>
}

/**
 * Reads an archive to its end, and sends the tar on where there is a sink.
 *
 * @throws BAD_ARCHIVE, TRUNCATED_TAR, BAD_TAR or BAD_IMAGE where it is damaged; MISMATCH
 *   where its tar has more bytes than it should
 */
export async function readArchive(options: ReadOptions, sink?: Sink): Promise<ReadArchive> {
  const { archive, decompressors, threads, tarBytes: maxBytes = Infinity } = options
  const range = await wholeFile(archive)
  // From a pipe it does not compare the blocks of a stream with its index, and what
  // follows the last stream it does not look at; metadata would tell.
  const isUnverifiedByPixz =
    !options.segments && decompressors.xz.name === 'pixz' && (await isXz(range))
  const decompressor = await startDecompressor([range], { decompressors, threads })
  const child = sink?.start()
  // An engine may be gone when it has the end of the tar.
  const verifier = options.verifyLayers ? createLayerVerifier() : undefined
  const digester = new TarDigester({
    normalize: false,
    md5: options.md5,
    toEnd: true,
    tap: verifier,
  })
  const hash = createHash('sha256')
  const segments = digestSegments(options.segments ?? [])
  let archiveBytes = 0
  let tarBytes = 0

  async function* hashed(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      hash.update(chunk)
      segments.write(chunk)
      archiveBytes += chunk.length
      yield chunk
    }
  }
  async function* tar(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      tarBytes += chunk.length
      if (tarBytes > maxBytes) throw grown(maxBytes)
      options.onProgress({ tarBytes, archiveBytes })
      for (const { bytes } of digester.write(chunk)) yield bytes
      const busy = verifier?.ready()
      if (busy) await busy
    }
  }
  const source = pipeline(streamFile(archive), hashed, decompressor.stdin)
  const finish = async (): Promise<ReadArchive> => {
    const decoded = await verifier?.end()
    const digest = { ...digester.end(), ...(decoded && { decoded }) }
    await Promise.all([source, decompressor.exited])
    if (isUnverifiedByPixz) await readStreams(range)
    const read = {
      archive: { sizeBytes: archiveBytes, sha256: hash.digest('hex') },
      segments: segments.end(),
      tar: digest,
      images: readImages(digest, options.requires),
    }
    await sink?.verify(read)
    return read
  }
  let read: ReadArchive | undefined
  const verify = async (): Promise<void> => {
    read = await finish()
  }
  const scanned = tar(decompressor.stdout)
  const drain = child ? sendTar(scanned, child, verify) : readAll(scanned, verify)
  const children = child ? [decompressor, child] : [decompressor]
  try {
    await withChildren(children, options.signal, allWork(source, drain))
  } finally {
    await verifier?.stop()
  }
  if (!read) throw new Error('the archive was not read to its end')
  return read
}

// Some MiB may come to terabytes: nobody waits for the end of them.
function grown(maxBytes: number): ToolError {
  return new ToolError(
    'MISMATCH',
    `check size of the tar: got more than ${maxBytes} bytes, want ${maxBytes}`,
    { hint: 'the archive is damaged, or is not the one that was saved: copy it again' },
  )
}

async function isXz(range: FileRange): Promise<boolean> {
  return codecOf(await readStart(range, MAGIC_BYTES)) === 'xz'
}

async function readAll(chunks: AsyncIterable<Buffer>, verify: () => Promise<void>): Promise<void> {
  for await (const _ of chunks) void _
  await verify()
}
