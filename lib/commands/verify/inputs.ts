// The two sides of a verification, read at the same time: the archive, and the
// engine's own image where it is checked against that.
import { readArchive, type ReadArchive } from '../../archive/reader.ts'
import type { ArchiveMetadata } from '../../delivery/metadata.ts'
import type { Decompressors } from '../../codec/programs.ts'
import type { Engine } from '../../engine/engine.ts'
import { hasSameContent, hasSameImages } from './compare.ts'
import { digestEngineImage, type EngineDigest, type EngineTar } from './engine-image.ts'
import type { VerbContext } from '../../core/outcome.ts'
import type { Target } from '../targets.ts'

/** What is verified. */
export interface Input {
  readonly target: Target
  readonly metadata: ArchiveMetadata | undefined
  /** The engine's image, where it has it. */
  readonly engineTar: EngineTar | undefined
}

/** What both sides are read with. */
export interface InputTools {
  readonly engine: Engine | undefined
  readonly decompressors: Decompressors
  readonly options: VerbContext & { readonly threads: number | undefined }
  /** Whether the engine was found to lay an image out in another way than its archive. */
  laysOutDifferently: boolean
}

/** What both sides were found to be. */
export interface ReadInputs {
  readonly read: ReadArchive
  /** Of the engine's image; undefined if the archive has several. */
  readonly digest: EngineDigest | undefined
}

/**
 * @returns what each is; of the engine's side, the content md5 only where that is not the archive's
 * @throws what {@link readArchive} and {@link digestEngineImage} throw
 */
export async function readInputs(side: Input, tools: InputTools): Promise<ReadInputs> {
  const { engine, options } = tools
  const { engineTar, metadata } = side
  // What fails first ends the other: nobody waits for 40 GB to hear of byte 3.
  const failed = new AbortController()
  const signal = AbortSignal.any([options.signal, failed.signal])
  const excluded = new Set(metadata?.requires?.map(({ path }) => path))
  // What compress_tars read has a tar's own bytes.
  const digestBeside = async (md5: boolean): Promise<EngineDigest | undefined> =>
    engine && engineTar && digestEngineImage(engine, engineTar, { excluded, md5, signal })
  const reading = readInput(side, tools, signal)
  const digesting = digestBeside(tools.laysOutDifferently)
  try {
    const [read, found] = await Promise.all([reading, digesting])
    const digest = read.images.length > 1 ? undefined : found
    const isKnown = !digest || tools.laysOutDifferently || hasSameContent(read, digest)
    if (isKnown) return { read, digest }
    // The md5 is for people to see: only now is it known that it has to be made.
    tools.laysOutDifferently = hasSameImages(read, digest)
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
    // What is no image may hold anything compressed.
    verifyLayers: metadata?.images.length !== 0,
    signal,
    onProgress: (progress) => notify({ type: 'progress', label, ...progress }),
  })
}
