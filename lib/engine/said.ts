// Compares what an engine says it loaded with what it should load. If an engine reads a tar in
// another way than this tool does, the difference shows here.
import { ToolError } from '../core/errors.ts'
import { toDigest } from '../image/digest.ts'
import { familiarName } from '../image/reference.ts'
import type { Task } from '../io/task.ts'
import type { ImageStore, NamedImage } from './image-store.ts'

/** What an engine printed about loaded images. The number of lines is limited. */
export interface EngineSaid {
  /** Names and IDs, as the engine wrote them. */
  readonly loaded: readonly string[]
  /** The first line that begins with "error". */
  readonly failure: string | undefined
  /** Whether the output was longer than what is kept. */
  readonly isCut: boolean
}

/** An engine that is loading a tar. */
export interface Loading extends Task {
  /** @returns what the engine printed; call it after the engine has ended */
  readonly said: () => EngineSaid
}

/** Collects the output of an engine, in pieces of any size. */
export interface EngineListener {
  readonly hear: (text: string) => void
  /** @returns what was collected; call it once, at the end */
  readonly said: () => EngineSaid
}

/**
 * The longest line that is kept, in characters. Old versions of podman write all names in one
 * line.
 */
export const MAX_LINE_LENGTH = 1024 * 1024
const MAX_LOADED = 10_000
// Longer than any image name.
const MAX_NAME_LENGTH = 1024
const LOADED = /^Loaded image(?: ID|\(s\))?:(.*)$/
const FAILED = /^\s*error\b/i

/** @returns a listener for the output of `docker load`, `podman load` or `nerdctl load` */
export function createListener(): EngineListener {
  const loaded: string[] = []
  let failure: string | undefined
  let isCut = false
  const hearLine = (line: string, isWhole: boolean): void => {
    isCut ||= !isWhole
    if (FAILED.test(line)) failure ??= line
    const names = LOADED.exec(line)?.[1]?.split(',') ?? []
    const room = MAX_LOADED - loaded.length
    isCut ||= names.length > room
    loaded.push(...names.slice(0, room).map((name) => name.trim().slice(0, MAX_NAME_LENGTH)))
  }
  const lines = createLineCutter(hearLine)
  return {
    hear: lines.write,
    said() {
      lines.end()
      return { loaded, failure, isCut }
    },
  }
}

/**
 * Splits text into lines. Of a line longer than {@link MAX_LINE_LENGTH}, only the beginning is
 * kept.
 */
export function createLineCutter(onLine: (line: string, isWhole: boolean) => void): {
  readonly write: (text: string) => void
  /** Ends the text; what remains is a line too. */
  readonly end: () => void
} {
  let line = ''
  let isWhole = true
  const add = (text: string): void => {
    isWhole &&= line.length + text.length <= MAX_LINE_LENGTH
    line += text.slice(0, MAX_LINE_LENGTH - line.length)
  }
  const end = (): void => {
    if (line !== '') onLine(line, isWhole)
    line = ''
    isWhole = true
  }
  return {
    write(text) {
      const [first = '', ...others] = text.split('\n')
      add(first)
      for (const next of others) {
        end()
        add(next)
      }
    },
    end,
  }
}

/**
 * @param said - what the engine printed while it loaded a tar
 * @param images - all images that it should load
 * @param engine - its name and its store
 * @param label - the archive, for errors
 * @throws MISMATCH if the engine loaded anything else, or printed more than is kept
 */
export function checkSaid(
  { loaded, isCut }: EngineSaid,
  images: readonly NamedImage[],
  engine: { readonly name: string; readonly store: ImageStore },
  label: string,
): void {
  const names = new Set(images.flatMap(({ repoTags }) => repoTags).map(plainName))
  const ids = engine.store.loadedIds(images)
  const isExpected = (said: string): boolean => {
    const id = idIn(said)
    return id === undefined ? names.has(plainName(said)) : (ids?.has(id) ?? true)
  }
  const other = loaded.find((said) => !isExpected(said))
  if (other === undefined && !isCut) return
  const what = other === undefined ? 'more than can be kept' : `"${other}"`
  const want = [...names].slice(0, 3).join(', ') || 'an image without a name'
  throw new ToolError(
    'MISMATCH',
    `load "${label}": the engine says that it loaded ${what}, want ${want}`,
    {
      hint: `remove it (${engine.name} image rm ${other ?? 'NAME'}), and have the image saved again`,
    },
  )
}

// An image without a name is printed by its ID, in the forms of docker and podman.
function idIn(said: string): string | undefined {
  const hex = /^(?:(?:[^@]*@)?sha256:)?([0-9a-f]{64})$/.exec(said)?.[1]
  return hex && toDigest(hex)
}

function plainName(name: string): string {
  const familiar = familiarName(name)
  return /:[^:/]+$/.test(familiar) ? familiar : `${familiar}:latest`
}
