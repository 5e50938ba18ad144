// What the verbs say while they run and when an image is done: one shape for
// all four, so that lines, table and JSON are made in one place.
import { ToolError, isInterruption, toToolError } from './errors.ts'

/** How far an image is. */
export interface Progress {
  /** Bytes of tar that went past. */
  readonly tarBytes: number
  /** Bytes of archive written, or read. */
  readonly archiveBytes: number
}

/** Called for every chunk that goes past. */
export type ProgressListener = (progress: Progress) => void

/** What a verb says while it runs. */
export type Notice =
  | { readonly type: 'step' | 'remark' | 'warning' | 'output'; readonly text: string }
  | (Progress & {
      readonly type: 'progress'
      readonly label: string
      /** Done so far, from 0 to 1, where it is known. */
      readonly share?: number
    })

/** What became of an image, or of an archive. */
export interface Outcome {
  /** The image reference, or the file name where no image is known. */
  readonly image: string
  /** File name of the archive. */
  readonly archive: string
  readonly result:
    | 'saved'
    | 'compressed'
    | 'verified'
    | 'loaded'
    | 'up to date'
    | 'already loaded'
    | 'would be saved'
    | 'would be compressed'
    | 'would be verified'
    | 'would be loaded'
    | 'forgotten'
    | 'would be forgotten'
    | 'listed'
    | 'failed'
  readonly tarBytes?: number | undefined
  readonly archiveBytes?: number | undefined
  /** Bytes of tar that came from other archives, and were not compressed again. */
  readonly reusedBytes?: number | undefined
  /** Bytes of tar that earlier deliveries carried, and this one does not. */
  readonly leftOutBytes?: number | undefined
  /** Bytes of tar that the engine had, and that were not loaded again. */
  readonly skippedBytes?: number | undefined
  /** What an archive holds, where that was asked for. */
  readonly holding?: Holding | undefined
  readonly elapsedMs: number
  /** The content md5 that was expected, and that of the archive. */
  readonly md5?: { readonly expected?: string | undefined; readonly archive: string } | undefined
  /** What is worth knowing beside the result, a sentence each. */
  readonly notes: readonly string[]
  readonly error?: ToolError | undefined
}

/** What an archive holds, by its metadata. */
export interface Holding {
  /** `os/architecture[/variant]`; absent for several archives together. */
  readonly platform?: string
  readonly created?: string | undefined
  /** Of the image, whether in this archive or in an earlier one. */
  readonly layers: number
  /** Those that another archive holds as well. */
  readonly sharedLayers: number
  /** The earlier archives that it needs, by their file names. */
  readonly incrementOf: readonly string[]
}

/** What every verb takes. */
export interface VerbContext {
  readonly notify: (notice: Notice) => void
  /** Ends the run. */
  readonly signal: AbortSignal
}

/** An outcome before it is known how long it took, and for what. */
export type Result = Omit<Outcome, 'image' | 'archive' | 'elapsedMs' | 'notes'> & {
  readonly notes?: readonly string[]
  /** Where it is another than was expected. */
  readonly archive?: string
}

/**
 * Runs one image's part of a verb; its failure does not stop the others.
 *
 * @param signal - that of the run: without it nobody has interrupted anything
 * @returns the outcome, `failed` where an expected error was thrown
 * @throws INTERRUPTED where the run is, and what is a bug
 */
export async function toOutcome(
  image: string,
  archive: string,
  { signal }: Pick<VerbContext, 'signal'>,
  act: () => Promise<Result>,
): Promise<Outcome> {
  const start = performance.now()
  const elapsedMs = (): number => Math.round(performance.now() - start)
  try {
    return {
      image,
      archive,
      notes: [],
      ...(await act()),
      elapsedMs: elapsedMs(),
    }
  } catch (thrown) {
    const error = toToolError(thrown)
    if (!error || (isInterruption(error) && signal.aborted)) throw thrown
    return {
      image,
      archive,
      result: 'failed',
      elapsedMs: elapsedMs(),
      notes: [],
      error: isInterruption(error) ? unexplained(error) : error,
    }
  }
}

// What was ended for a failure may be all that is heard of it.
function unexplained(error: ToolError): ToolError {
  const cause = toToolError(error.cause)
  if (cause && !isInterruption(cause)) return cause
  return new ToolError('IO_FAILED', 'it ended early, for no known reason', {
    hint: 'try it again',
    cause: error,
  })
}
