// Archive → engine by the short way: the metadata says what the file must be, so
// its compressed bytes are all that has to be looked at here. The decoder writes to
// the daemon itself, which takes no more than the tar's size.
import { readThrough, type ReadingOptions } from '../../archive/pipeline.ts'
import { digestArchive, type DigestedArchive } from '../../archive/segment-digest.ts'
import type { SocketSink } from '../../image/sink.ts'

/** What {@link sendArchive} needs. */
export interface SendOptions extends ReadingOptions {
  /** Path of the archive. */
  readonly archive: string
  /** Rejects where the archive is not what its metadata says; the engine waits for it. */
  readonly verify: (archive: DigestedArchive['archive']) => Promise<void>
}

/**
 * Sends the tar of an archive to a daemon. The end of the tar is sent only after every byte of
 * the archive is verified.
 *
 * @param sink - takes the tar by its socket
 * @throws what `verify` throws, BAD_ARCHIVE, and how the engine failed
 */
export async function sendArchive(options: SendOptions, sink: SocketSink): Promise<void> {
  const { archive } = options
  const digester = digestArchive()
  const reading = {
    parts: [{ archive }],
    onBytes: (chunk: Buffer) => digester.write(chunk),
    verify: () => options.verify(digester.end().archive),
  }
  await readThrough(reading, options, sink)
}
