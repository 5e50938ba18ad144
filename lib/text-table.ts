// Cells in columns, for people.

/**
 * @param rows - the head first
 * @param isText - whether a column is set to the left; numbers go to the right
 * @returns a line for each row
 */
export function formatRows(
  rows: readonly (readonly string[])[],
  isText: (column: number) => boolean,
): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((cells) => cells[column]?.length ?? 0)),
  )
  return rows
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
