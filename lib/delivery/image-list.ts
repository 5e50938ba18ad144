// images_list.txt: one image reference a line. A bad line is told before
// anything is pulled, since the run may take a night.
import { MAX_LINES, ToolError, firstLines } from '../core/errors.ts'
import { readReference, type ImageReference } from '../image/reference.ts'

/**
 * @param text - the list; blank lines, `#` comments, trailing blanks, CRLF and a BOM are accepted
 * @param file - its name, for errors
 * @returns the references in the order of the list, each once
 * @throws BAD_LIST naming file and line of the first lines that are no image
 *   references, and how many more there are; or where there is none at all
 */
export function parseImageList(text: string, file: string): ImageReference[] {
  const references = new Map<string, ImageReference>()
  const problems: string[] = []
  let count = 0
  let hint: string | undefined
  for (const [index, line] of text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .entries()) {
    const entry = entryOf(line)
    if (entry === '') continue
    const read = readReference(entry)
    if (read instanceof ToolError) {
      // The list may be any file: not all of it is to be seen.
      if (count++ <= MAX_LINES) problems.push(`${file}:${index + 1}: ${read.message}`)
      hint ??= read.hint
    } else references.set(entry, read)
  }
  if (count > 0) throw new ToolError('BAD_LIST', firstLines(problems, count).join('\n'), { hint })
  if (references.size === 0) {
    throw new ToolError('BAD_LIST', `"${file}" names no image`, {
      hint: 'write one image reference a line, such as nvcr.io/nvidia/pytorch:24.05-py3',
    })
  }
  return [...references.values()]
}

/** @returns what a line of a list names, without comment and blanks; empty if it names nothing */
export function entryOf(line: string): string {
  const comment = line.search(/(?:^|\s)#/)
  return (comment === -1 ? line : line.slice(0, comment)).trim()
}
