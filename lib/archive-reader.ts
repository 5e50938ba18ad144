// Archive in, tar out: the file is hashed, decompressed and the tar digested
// as it goes past. What the bytes were is known, and proven, at their end.
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { basename } from 'node:path'
import { pipeline } from 'node:stream/promises'

import { withChildren, type Child } from './child.ts'
import { startDecompressor, type Compressor } from './compressor.ts'
import { readImages, type ArchivedImage } from './docker-archive.ts'
import type { ProgressListener } from './outcome.ts'
import { digestTar, type TarDigest } from './tar-digest.ts'

/** What an archive was found to be. */
export interface ReadArchive {
  readonly archive: { readonly sizeBytes: number; readonly sha256: string }
  readonly tar: TarDigest
  /** The images in it, each whole; none where its tar is no saved image. */
  readonly images: readonly ArchivedImage[]
}

/** What {@link readArchive} needs. */
export interface ReadOptions {
  /** Path of the archive. */
  readonly archive: string
  readonly compressor: Compressor
  readonly threads: number | undefined
  /** Whether the content md5 is wanted. */
  readonly md5: boolean
  readonly onProgress: ProgressListener
  readonly signal: AbortSignal
}

/** Where a tar goes to, and what must hold before it gets the end of it. */
export interface Sink {
  readonly child: Child
  /** Throws where the archive is not what it should be. */
  readonly prove: (read: ReadArchive) => void
}

// No engine takes a tar for whole without its last MiB: manifest.json and the
// end of the layers are in there.
const HELD_BYTES = 1024 * 1024

/**
 * Reads an archive to its end, and sends the tar on where there is a sink.
 *
 * @throws BAD_ARCHIVE, TRUNCATED_TAR, BAD_TAR or BAD_IMAGE where it is damaged
 */
export async function readArchive(options: ReadOptions, sink?: Sink): Promise<ReadArchive> {
  const { archive, threads } = options
  const decompressor = startDecompressor(options.compressor, {
    threads,
    archive: basename(archive),
  })
  const digester = digestTar({ constant: false, md5: options.md5 })
  const hash = createHash('sha256')
  let archiveBytes = 0
  let tarBytes = 0

  async function* hashed(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      hash.update(chunk)
      archiveBytes += chunk.length
      yield chunk
    }
  }
  async function* tar(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      tarBytes += chunk.length
      options.onProgress({ tarBytes, archiveBytes })
      yield digester.write(chunk)
    }
  }
  const source = pipeline(createReadStream(archive), hashed, decompressor.stdin)
  const finish = async (): Promise<ReadArchive> => {
    const digest = digester.end()
    await Promise.all([source, decompressor.exited])
    const read = {
      archive: { sizeBytes: archiveBytes, sha256: hash.digest('hex') },
      tar: digest,
      images: readImages(digest),
    }
    sink?.prove(read)
    return read
  }
  let read: ReadArchive | undefined
  async function* proven(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    try {
      yield* holdBack(chunks, async () => {
        read = await finish()
      })
    } catch (error) {
      await abandon(sink)
      throw error
    }
  }
  const drain = sink
    ? pipeline(decompressor.stdout, tar, proven, sink.child.stdin)
    : pipeline(decompressor.stdout, tar, async (chunks) => {
        for await (const _ of proven(chunks)) void _
      })
  const children = sink ? [decompressor, sink.child] : [decompressor]
  await withChildren(children, options.signal, Promise.all([source, drain]))
  if (!read) throw new Error('the archive was not read to its end')
  return read
}

// Ended before its input is: it must not take the tar so far for all of it.
async function abandon(sink: Sink | undefined): Promise<void> {
  sink?.child.kill('SIGKILL')
  await sink?.child.exited.catch(() => {})
}

async function* holdBack(
  chunks: AsyncIterable<Buffer>,
  prove: () => Promise<void>,
): AsyncGenerator<Buffer> {
  const held: Buffer[] = []
  let heldBytes = 0
  for await (const chunk of chunks) {
    held.push(chunk)
    heldBytes += chunk.length
    while (heldBytes - (held[0]?.length ?? 0) >= HELD_BYTES) {
      const oldest = held.shift() ?? Buffer.alloc(0)
      heldBytes -= oldest.length
      yield oldest
    }
  }
  await prove()
  yield* held
}
