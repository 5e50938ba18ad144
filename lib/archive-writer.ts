// Tar in, archive out, in one pass: scanned, digested, compressed, hashed and
// written at once, then put in place together with its record.
import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

import { RECORD_SCHEMA, type ArchiveRecord, type RecordedImage } from './archive-record.ts'
import { createAtomicFile, type AtomicFile } from './atomic-file.ts'
import { commitArchive } from './carry-directory.ts'
import { withChildren, type Child } from './child.ts'
import { startCompressor, type Compressor } from './compressor.ts'
import type { ProgressListener } from './outcome.ts'
import { digestTar, type TarDigest } from './tar-digest.ts'

/** What {@link writeArchive} needs. */
export interface WriteOptions {
  /** Path of the archive. */
  readonly archive: string
  /** @returns the tar, and the child that it comes from, if any; called once there is a file to write to. */
  readonly open: () => { readonly tar: Readable; readonly child?: Child }
  /** Whether times and owners in the tar are set to constants. */
  readonly constant: boolean
  /** @returns the images in the tar; what it throws stops the archive from being made. */
  readonly describe: (tar: TarDigest) => readonly RecordedImage[]
  /** When the tar was last changed, where it is a file. */
  readonly modified?: string
  readonly compressor: Compressor
  readonly level: number
  readonly threads: number | undefined
  readonly onProgress: ProgressListener
  readonly signal: AbortSignal
}

/**
 * @returns the record of the archive that now lies at its place
 * @throws whatever went wrong; then what was there before is still there
 */
export async function writeArchive(options: WriteOptions): Promise<ArchiveRecord> {
  const file = await createAtomicFile(options.archive)
  try {
    const { tar, sizeBytes, sha256 } = await compress(file, options)
    const images = options.describe(tar)
    await file.finish()
    const { modified, compressor, level } = options
    const record: ArchiveRecord = {
      schema: RECORD_SCHEMA,
      images,
      archive: {
        file: basename(options.archive),
        sizeBytes,
        sha256,
        codec: 'xz',
        level,
        compressor: { name: compressor.name, version: compressor.version },
      },
      tar: {
        sizeBytes: tar.sizeBytes,
        ...(tar.contentMd5 !== undefined && { contentMd5: tar.contentMd5 }),
        ...(modified !== undefined && { modified }),
      },
      segments: [
        {
          offsetBytes: 0,
          sizeBytes,
          sha256,
          tarOffsetBytes: 0,
          tarSizeBytes: tar.sizeBytes,
        },
      ],
    }
    await commitArchive(options.archive, file, record)
    return record
  } finally {
    await file.discard()
  }
}

async function compress(
  file: AtomicFile,
  options: WriteOptions,
): Promise<{ tar: TarDigest; sizeBytes: number; sha256: string }> {
  const digester = digestTar({ constant: options.constant, md5: true })
  const compressor = startCompressor(options.compressor, options)
  const source = options.open()
  const hash = createHash('sha256')
  let tarBytes = 0
  let archiveBytes = 0

  async function* scan(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      tarBytes += chunk.length
      options.onProgress({ tarBytes, archiveBytes })
      yield digester.write(chunk)
    }
    tar = digester.end()
  }
  async function write(chunks: AsyncIterable<Buffer>): Promise<void> {
    for await (const chunk of chunks) {
      hash.update(chunk)
      archiveBytes += chunk.length
      await file.handle.writeFile(chunk)
    }
  }
  let tar: TarDigest | undefined
  const work = Promise.all([
    pipeline(source.tar, scan, compressor.stdin),
    pipeline(compressor.stdout, write),
  ])
  const children = source.child ? [source.child, compressor] : [compressor]
  await withChildren(children, options.signal, work)
  if (!tar) throw new Error('the tar was not read to its end')
  return { tar, sizeBytes: archiveBytes, sha256: hash.digest('hex') }
}
