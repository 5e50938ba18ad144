// The notices of a running verb, and the outcome of each image. All verbs use the same
// types, so that one place makes the lines, the table and the JSON.
import { ToolError, isInterruption, toToolError } from './errors.ts'

/** How much of an image is done. */
export interface Progress {
  /** Bytes of tar done so far. */
  readonly tarBytes: number
  /** Bytes of archive written or read so far. */
  readonly archiveBytes: number
}

/** Is called for every chunk of the tar. */
export type ProgressListener = (progress: Progress) => void

/** What a verb says while it runs. */
export type Notice =
  | { readonly type: 'step' | 'remark' | 'warning' | 'output'; readonly text: string }
  | (Progress & {
      readonly type: 'progress'
      readonly label: string
      /** The part that is done, from 0 to 1; absent if the total is unknown. */
      readonly share?: number
    })

/** What became of an image, or of an archive. */
export interface Outcome {
  /** The image reference, or the file name if the image is unknown. */
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
  /** Bytes of tar that were copied from other archives, not compressed again. */
  readonly reusedBytes?: number | undefined
  /** Bytes of tar that are in earlier deliveries, and not in this one. */
  readonly leftOutBytes?: number | undefined
  /** Bytes of tar that were in the engine already, and were not loaded again. */
  readonly skippedBytes?: number | undefined
  /** What the archive holds; only the verb that lists archives sets it. */
  readonly holding?: Holding | undefined
  readonly elapsedMs: number
  /** Content md5 (that of `tar xO`): the expected one, and that of the archive. */
  readonly md5?: { readonly expected?: string | undefined; readonly archive: string } | undefined
  /** Remarks on the result, one sentence each. */
  readonly notes: readonly string[]
  readonly error?: ToolError | undefined
}

/** What an archive holds, according to its metadata. */
export interface Holding {
  /** `os/architecture[/variant]`; absent in the sum over several archives. */
  readonly platform?: string
  readonly created?: string | undefined
  /** Number of layers of the image, in this archive or in an earlier one. */
  readonly layers: number
  /** Number of layers that another archive holds too. */
  readonly sharedLayers: number
  /** File names of the earlier archives that this one needs. */
  readonly incrementOf: readonly string[]
}

/** What every verb gets from its caller. */
export interface VerbContext {
  readonly notify: (notice: Notice) => void
  /** Ends the run. */
  readonly signal: AbortSignal
}

/** What every program passes to its verb. */
export interface RunContext extends VerbContext {
  /** Number of processors to use; undefined: all. */
  readonly threads: number | undefined
}

/** An outcome without what the caller knows: image, archive and time. */
export type Result = Omit<Outcome, 'image' | 'archive' | 'elapsedMs' | 'notes'> & {
  readonly notes?: readonly string[]
  /** The archive, if it is not the one that the caller expects. */
  readonly archive?: string
}

/**
 * Runs a verb for one image. A failure does not stop the other images.
 *
 * @param signal - the signal of the run; only if it is aborted, INTERRUPTED ends the run
 * @returns the outcome; `failed` if `act` throws an expected error
 * @throws INTERRUPTED if the run is interrupted; any error that is a bug
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

// The run was not interrupted, so the tool itself ended a task because of another
// failure. The cause holds that failure, unless it got lost.
function unexplained(error: ToolError): ToolError {
  const cause = toToolError(error.cause)
  if (cause && !isInterruption(cause)) return cause
  return new ToolError('IO_FAILED', 'it ended early, for no known reason', {
    hint: 'try it again',
    cause: error,
  })
}
