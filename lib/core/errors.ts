// The one error class for people. Anything else that is thrown is a bug and shows its
// stack. Errors of the operating system are the exception: this module turns them into
// errors for people.

import { shorten, visible } from './visible-text.ts'

/** What went wrong, for scripts. The README lists all codes but INTERRUPTED. */
export type ErrorCode =
  | 'BAD_ARCHIVE'
  | 'BAD_FILE'
  | 'BAD_IMAGE'
  | 'BAD_LIST'
  | 'BAD_RECORD'
  | 'BAD_REFERENCE'
  | 'BAD_TAR'
  | 'BUSY'
  | 'COMPRESSOR_FAILED'
  | 'ENGINE_DENIED'
  | 'ENGINE_DOWN'
  | 'ENGINE_FAILED'
  | 'INTERRUPTED'
  | 'IO_FAILED'
  | 'MISMATCH'
  | 'MISSING_LAYER'
  | 'NAME_CLASH'
  | 'NOT_LISTED'
  | 'NOT_LOGGED_IN'
  | 'NOT_WRITABLE'
  | 'NO_ARCHIVE'
  | 'NO_COMPRESSOR'
  | 'NO_DIRECTORY'
  | 'NO_ENGINE'
  | 'NO_IMAGE'
  | 'NO_MEMORY'
  | 'NO_RECORD'
  | 'NO_SPACE'
  | 'REGISTRY_UNREACHABLE'
  | 'TRUNCATED_TAR'
  | 'USAGE'
  | 'WRONG_PLATFORM'

/** An expected failure: a code for scripts, a message and a hint for people. */
export class ToolError extends Error {
  readonly code: ErrorCode
  readonly hint: string | undefined

  /**
   * @param code - one of the codes that the README lists
   * @param message - lower case, action first, then the cause. Many or long lines are
   *   shortened, because a part of the message may come from a file of any size
   * @param options - `hint`: what to do next; `cause`: the original error
   */
  constructor(
    code: ErrorCode,
    message: string,
    options: { hint?: string | undefined; cause?: unknown } = {},
  ) {
    super(bounded(message), { cause: options.cause })
    this.name = 'ToolError'
    this.code = code
    this.hint = options.hint && shorten(options.hint, MAX_LINE)
  }
}

/** The most lines of a message; one more line may say how many are missing. */
export const MAX_LINES = 10
const MAX_LINE = 2000

/**
 * @param lines - the lines, or the first of them
 * @param count - how many lines there are in all, if `lines` does not hold all
 * @returns the first ten, and a line that says how many more there are. Up to eleven
 *   lines come back as they are, because that line would take the place of one
 */
export function firstLines(lines: readonly string[], count = lines.length): string[] {
  if (count <= MAX_LINES + 1 && lines.length === count) return [...lines]
  return [...lines.slice(0, MAX_LINES), `and ${count - MAX_LINES} more lines`]
}

function bounded(message: string): string {
  return firstLines(message.split('\n'))
    .map((line) => shorten(line, MAX_LINE))
    .join('\n')
}

const MEMORY_HINT = 'use fewer --threads, or end other programs'

const SYSTEM_ERRORS: Record<string, { code: ErrorCode; hint?: string }> = {
  ENOSPC: { code: 'NO_SPACE', hint: 'free some space, or use another --dir' },
  EDQUOT: { code: 'NO_SPACE', hint: 'free some space, or use another --dir' },
  EROFS: { code: 'NOT_WRITABLE', hint: 'choose a writable --dir' },
  EACCES: { code: 'NOT_WRITABLE', hint: 'check owner and mode' },
  ENOMEM: { code: 'NO_MEMORY', hint: MEMORY_HINT },
  EPERM: { code: 'NOT_WRITABLE', hint: 'check owner and mode' },
}

/**
 * @param what - the action that failed, for instance `start "pixz"`
 * @returns the error NO_MEMORY if there is no memory, or no room for one more process or
 *   thread; undefined if the error says something else
 */
export function memoryError(what: string, error: unknown): ToolError | undefined {
  if (!(error instanceof Error)) return undefined
  const code = 'code' in error ? error.code : undefined
  const isStart = isSystemError(error) && error.syscall.startsWith('spawn')
  const isMemory = code === 'ENOMEM' || (error instanceof RangeError && MEMORY.test(error.message))
  const isThread = code === 'ERR_WORKER_OUT_OF_MEMORY' || code === 'ERR_WORKER_INIT_FAILED'
  if (!isMemory && !isThread && !(isStart && code === 'EAGAIN')) return undefined
  return new ToolError('NO_MEMORY', `${what}: ${error.message}`, {
    hint: MEMORY_HINT,
    cause: error,
  })
}

// The message of the RangeError that JavaScript throws if a buffer gets no memory.
const MEMORY = /allocat|out of memory/i

/**
 * @param error - anything that was thrown
 * @returns the error for people, or undefined if it is a bug
 */
export function toToolError(error: unknown): ToolError | undefined {
  if (error instanceof ToolError) return error
  if (!isSystemError(error)) return memoryError('find memory', error)
  const { code, hint } = SYSTEM_ERRORS[error.code] ?? { code: 'IO_FAILED' }
  return new ToolError(code, describe(error), { hint, cause: error })
}

/** @returns whether the error comes from the operating system, with a code such as ENOSPC. */
export function isSystemError(
  error: unknown,
): error is Error & { code: string; syscall: string; path?: string } {
  return error instanceof Error && 'syscall' in error && 'code' in error
}

/** @returns the lines to print for an error; each begins with the name of the program. */
export function formatError(
  program: string,
  { message, hint }: Pick<ToolError, 'message' | 'hint'>,
): string {
  const lines = firstLines(message.split('\n')).map((line) => `${program}: error: ${visible(line)}`)
  if (hint !== undefined) lines.push(`${program}: hint: ${visible(hint)}`)
  return lines.join('\n')
}

/** @returns the error of a run that a signal stopped. */
export function interrupted(): ToolError {
  return new ToolError('INTERRUPTED', 'interrupted')
}

/** @returns whether an error has the code INTERRUPTED. */
export function isInterruption(error: unknown): boolean {
  return error instanceof ToolError && error.code === 'INTERRUPTED'
}

/** @returns whether an error says that a file or directory does not exist. */
export function isNotFound(error: unknown): boolean {
  return isSystemError(error) && ['ENOENT', 'ENOTDIR'].includes(error.code)
}

/**
 * Handles a rejected promise for which a missing file is no failure.
 *
 * @returns undefined if the file does not exist
 * @throws any other error, as it is
 */
export function ignoreNotFound(error: unknown): undefined {
  if (!isNotFound(error)) throw error
}

function describe(error: Error & { syscall: string; path?: string }): string {
  const what = error.path === undefined ? '' : ` "${error.path}"`
  const why = error.message.replace(/^\w+: /, '').replace(/, \w+( '.*)?$/, '')
  return `${error.syscall}${what}: ${why}`
}
