// Cells in columns, for people.
import { visible } from './core/visible-text.ts'

/**
 * @param rows - the head first
 * @param isText - whether a column is set to the left; numbers go to the right
 * @returns a line for each row
 */
export function formatRows(
  rows: readonly (readonly string[])[],
  isText: (column: number) => boolean,
): string {
  const shown = rows.map((cells) => cells.map((cell) => visible(cell, MAX_CELL)))
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...shown.map((cells) => cells[column]?.length ?? 0)),
  )
  return shown
    .map((cells) =>
      cells
        .map((cell, column) => {
          const width = widths[column] ?? 0
          return isText(column) ? cell.padEnd(width) : cell.padStart(width)
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

// As long as the name of a file may be.
const MAX_CELL = 255
