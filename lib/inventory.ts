// What a carry directory holds, by the records in it: no archive is read.
import { stat } from 'node:fs/promises'
import { basename, join } from 'node:path'

import { countShared, type HeldArchive } from './archive-sharing.ts'
import { checkDirectory, listArchives, readRecord } from './carry-directory.ts'
import { ToolError, toToolError } from './errors.ts'
import { findMissing, missingOutcomes } from './missing-files.ts'
import type { Outcome, VerbContext } from './outcome.ts'

/** What {@link inventory} takes. */
export interface InventoryOptions extends VerbContext {
  /** The carry directory. */
  readonly dir: string
}

/**
 * @returns an outcome for each archive, a failed one for each file that is missing, and two for all of them together: as
 *   they lie there, and with what they share counted once
 * @throws NO_DIRECTORY, NO_ARCHIVE where there is none
 */
export async function* inventory({ dir, notify }: InventoryOptions): AsyncGenerator<Outcome> {
  await checkDirectory(dir)
  const names = await listArchives(dir)
  const missing = await findMissing(dir)
  if (names.length + missing.length === 0) {
    throw new ToolError('NO_ARCHIVE', `look into "${dir}": there is no archive`, {
      hint: 'name the carry directory with --dir',
    })
  }
  const archives: HeldArchive[] = []
  for (const name of names) {
    const path = join(dir, name)
    const warn = (error: unknown): undefined => {
      const reason = toToolError(error)
      if (!reason) throw error
      notify({ type: 'warning', text: reason.message })
    }
    const found = await stat(path).catch(warn)
    if (!found?.isFile()) continue
    const record = await readRecord(path).catch(warn)
    archives.push({ name: basename(name), sizeBytes: found.size, record })
  }
  const lines = countShared(archives)
  const rows = lines.map((line): Outcome => {
    return { result: 'listed', elapsedMs: 0, notes: [], ...line }
  })
  yield* rows.slice(0, archives.length)
  yield* missingOutcomes(missing, new Set(), { notify })
  yield* rows.slice(archives.length)
}
