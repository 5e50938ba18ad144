// Archive → engine by the short way: the metadata says what the file must be, so
// its compressed bytes are all that has to be looked at here. The decompressor
// writes to the daemon itself, which takes no more than the tar's size.
import { createHash } from 'node:crypto'
import { pipeline } from 'node:stream/promises'

import { withChildren, type Task } from '../../io/child.ts'
import type { Decompressors } from '../../codec/programs.ts'
import { startDecompressor } from '../../codec/decompress.ts'
import { streamFile, wholeFile } from '../../io/file-range.ts'
import { withholdTail } from '../../io/withhold-tail.ts'
import type { LoadRequest } from '../../engine/docker-api/load.ts'

/** What {@link sendArchive} needs. */
export interface SendOptions {
  /** Path of the archive. */
  readonly archive: string
  readonly decompressors: Decompressors
  readonly threads: number | undefined
  /** Rejects where the archive is not what its metadata says; the engine waits for it. */
  readonly verify: (archive: { sizeBytes: number; sha256: string }) => Promise<void>
  /** Told of the bytes of archive that were read so far. */
  readonly onProgress: (archiveBytes: number) => void
  readonly signal: AbortSignal
}

/**
 * Sends the tar of an archive to a daemon, the end of it only once every byte
 * of the archive has been verified.
 *
 * @param startEngine - asks a daemon to take a tar
 * @throws what `verify` throws, BAD_ARCHIVE, and how the engine failed
 */
export async function sendArchive(
  options: SendOptions,
  startEngine: () => LoadRequest,
): Promise<void> {
  const { archive, decompressors, threads, signal } = options
  const range = await wholeFile(archive)
  const engine = startEngine()
  const children: Task[] = [engine]
  const send = async (): Promise<void> => {
    const output = await engine.socket
    const decompressor = await startDecompressor([range], { decompressors, threads, output })
    children.unshift(decompressor)
    // Node stops reading what it hands to a child: the answer is still to come. The
    // child has made it block, for both sides; but that answer is short, and is all
    // that is read or written here.
    output.resume()
    const checked = (chunks: AsyncIterable<Buffer>): AsyncIterable<Buffer> =>
      verified(chunks, options, engine)
    await pipeline(streamFile(archive), checked, decompressor.stdin)
    await decompressor.exited
    // Until here the engine cannot take an early end of the tar for its end.
    engine.stdin.end()
  }
  await withChildren(children, signal, send())
}

async function* verified(
  chunks: AsyncIterable<Buffer>,
  { verify, onProgress }: SendOptions,
  engine: Task,
): AsyncGenerator<Buffer> {
  const hash = createHash('sha256')
  let sizeBytes = 0
  async function* hashed(): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      hash.update(chunk)
      sizeBytes += chunk.length
      onProgress(sizeBytes)
      yield chunk
    }
  }
  try {
    yield* withholdTail(hashed(), () => verify({ sizeBytes, sha256: hash.digest('hex') }))
  } catch (error) {
    // Ended before its input is: it must not take the tar so far for all of it.
    engine.kill('SIGKILL')
    throw error
  }
}
