// The one error that is meant for people. Whatever else is thrown is a bug and
// shows its stack; what the operating system refuses is told apart here.

import { shorten, visible } from './visible-text.ts'

/** What went wrong, for scripts: the codes stand in the README, but for that of what a signal ended. */
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
   * @param message - lower case, action first, then the cause; of many or long lines
   *   as much as a person reads: what is in it may come from a file of any size
   * @param options - `hint`: what to do about it; `cause`: the error behind it
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

/** The most lines of a message, but for one that tells of more. */
export const MAX_LINES = 10
const MAX_LINE = 2000

/**
 * @param lines - a line for each of what there is to tell
 * @param count - of how many these are the first, where not all were kept
 * @returns the first ten, and how many more there are; eleven as they are
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
 * @param what - was to be done, for instance `start "pixz"`
 * @returns NO_MEMORY where an error says that there is no memory, or no room for one more process or thread
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

// What JavaScript throws where it gets no memory for bytes.
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

/** @returns whether the operating system said it: a code such as ENOSPC. */
export function isSystemError(
  error: unknown,
): error is Error & { code: string; syscall: string; path?: string } {
  return error instanceof Error && 'syscall' in error && 'code' in error
}

/** @returns the lines that a program prints for an error; each begins as one of it. */
export function formatError(
  program: string,
  { message, hint }: Pick<ToolError, 'message' | 'hint'>,
): string {
  const lines = firstLines(message.split('\n')).map((line) => `${program}: error: ${visible(line)}`)
  if (hint !== undefined) lines.push(`${program}: hint: ${visible(hint)}`)
  return lines.join('\n')
}

/** @returns the error of a run that was told to stop. */
export function interrupted(): ToolError {
  return new ToolError('INTERRUPTED', 'interrupted')
}

/** @returns whether an error says that the run was told to stop. */
export function isInterruption(error: unknown): boolean {
  return error instanceof ToolError && error.code === 'INTERRUPTED'
}

/** @returns whether it says that there is no such file or directory */
export function isNotFound(error: unknown): boolean {
  return isSystemError(error) && ['ENOENT', 'ENOTDIR'].includes(error.code)
}

/** For a promise's catch: a file that is not there is no failure. */
export function ignoreNotFound(error: unknown): undefined {
  if (!isNotFound(error)) throw error
}

function describe(error: Error & { syscall: string; path?: string }): string {
  const what = error.path === undefined ? '' : ` "${error.path}"`
  const why = error.message.replace(/^\w+: /, '').replace(/, \w+( '.*)?$/, '')
  return `${error.syscall}${what}: ${why}`
}
