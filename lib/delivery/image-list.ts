// Reads images_list.txt: one image reference a line. All bad lines are reported before anything
// is pulled, because a run may take a night.
import { MAX_LINES, ToolError, firstLines } from '../core/errors.ts'
import { readReference, type ImageReference } from '../image/reference.ts'

/**
 * @param text - the list; blank lines, `#` comments, spaces at the end of a line, CRLF and a
 *   BOM are accepted
 * @param file - its name, for errors
 * @returns the references in the order of the list, each once
 * @throws BAD_LIST if lines are not image references, with file and line of the first ones and
 *   the number of the others; or if the list names no image
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
      // The list may be any file by mistake, so the error shows only its first bad lines.
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

/**
 * @returns the reference in a line of a list, without comment and spaces; empty if there is
 *   none
 */
export function entryOf(line: string): string {
  const comment = line.search(/(?:^|\s)#/)
  return (comment === -1 ? line : line.slice(0, comment)).trim()
}
