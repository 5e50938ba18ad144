// Compares a value that was found with the value that the delivery states.
import { ToolError } from '../core/errors.ts'
import { COPY_BOTH } from '../core/hints.ts'

/** @throws MISMATCH if they differ */
export function expectEqual(
  what: string,
  got: string | number,
  want: string | number,
  hint: string = COPY_BOTH,
): void {
  if (got === want) return
  throw new ToolError('MISMATCH', `check ${what}: got ${got}, want ${want}`, {
    hint,
  })
}
