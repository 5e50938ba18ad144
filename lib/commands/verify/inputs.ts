// Reads the two inputs of a verification at the same time: the archive and, if it is compared
// with one, the source's image.
import { readArchive, type ReadArchive } from '../../archive/reader.ts'
import type { Decompressors } from '../../codec/programs.ts'
import type { VerbContext } from '../../core/outcome.ts'
import type { ArchiveMetadata } from '../../delivery/metadata.ts'
import type { ImageSource } from '../../image/source.ts'
import type { Target } from '../targets.ts'
import { hasSameContent, hasSameImages } from './compare.ts'
import { digestSourceImage, type SourceDigest, type SourceTar } from './source-image.ts'

/** What to verify. */
export interface Input {
  readonly target: Target
  readonly metadata: ArchiveMetadata | undefined
  /** The source's image, or undefined if the archive is not compared with one. */
  readonly sourceTar: SourceTar | undefined
}

/** How to read both inputs. */
export interface InputTools {
  readonly source: ImageSource | undefined
  readonly decompressors: Decompressors
  readonly options: VerbContext & { readonly threads: number | undefined }
  /** Whether the source was found to write the same image into a different tar. */
  writesDifferently: boolean
}

/** The results of both inputs. */
export interface ReadInputs {
  readonly read: ReadArchive
  /** The source's image; undefined if it is not compared, or the archive has several images. */
  readonly digest: SourceDigest | undefined
}

/**
 * @returns both results. The source's side may lack its content md5 if the content is the same.
 * @throws the errors of {@link readArchive} and {@link digestSourceImage}
 */
export async function readInputs(side: Input, tools: InputTools): Promise<ReadInputs> {
  const { source, options } = tools
  const { sourceTar, metadata } = side
  // The first failure ends the other input at once, which may still have 40 GB to read.
  const failed = new AbortController()
  const signal = AbortSignal.any([options.signal, failed.signal])
  const excluded = new Set(metadata?.requires?.map(({ path }) => path))
  const digestBeside = async (md5: boolean): Promise<SourceDigest | undefined> =>
    source && sourceTar && digestSourceImage(source, sourceTar, { excluded, md5, signal })
  const reading = readInput(side, tools, signal)
  const digesting = digestBeside(tools.writesDifferently)
  try {
    const [read, found] = await Promise.all([reading, digesting])
    const digest = read.images.length > 1 ? undefined : found
    const isKnown = !digest || tools.writesDifferently || hasSameContent(read, digest)
    if (isKnown) return { read, digest }
    // The md5 is only shown to users, so it is computed only now that it is known to differ.
    tools.writesDifferently = hasSameImages(read, digest)
    const text = `the content differs: the engine saves "${side.target.label}" again, for its md5`
    options.notify({ type: 'remark', text })
    return { read, digest: await digestBeside(true) }
  } catch (error) {
    failed.abort()
    await Promise.allSettled([reading, digesting])
    throw error
  }
}

function readInput(
  { target: { archive, label }, metadata }: Input,
  { decompressors, options: { threads, notify } }: InputTools,
  signal: AbortSignal,
): Promise<ReadArchive> {
  return readArchive({
    archive,
    metadata,
    decompressors,
    threads,
    md5: true,
    // A tar that is not an image may hold any compressed data.
    verifyLayers: metadata?.images.length !== 0,
    signal,
    onProgress: (progress) => notify({ type: 'progress', label, ...progress }),
  })
}
