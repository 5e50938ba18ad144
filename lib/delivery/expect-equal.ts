// What was found against what the delivery says.
import { ToolError } from '../core/errors.ts'

const COPY_AGAIN =
  'it was changed or damaged: copy the archive and its metadata again from where they were made'

/** @throws MISMATCH where they differ */
export function expectEqual(
  what: string,
  got: string | number,
  want: string | number,
  hint: string = COPY_AGAIN,
): void {
  if (got === want) return
  throw new ToolError('MISMATCH', `check ${what}: got ${got}, want ${want}`, {
    hint,
  })
}
