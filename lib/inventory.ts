// What a carry directory holds, by the records in it: no archive is read.
import { basename, join } from 'node:path'

import { countShared, type HeldArchive } from './archive-sharing.ts'
import { checkDirectory, listArchives } from './delivery/directory.ts'
import { createDelivery, type DeliveryOptions } from './delivery/delivery.ts'
import { ToolError, toToolError } from './core/errors.ts'
import { findMissingOf, missingOutcomes } from './missing-files.ts'
import type { Outcome, VerbContext } from './core/outcome.ts'
import { lookAtFile } from './io/small-file.ts'

/** What {@link inventory} takes. */
export interface InventoryOptions extends VerbContext, DeliveryOptions {
  /** The carry directory. */
  readonly dir: string
}

/**
 * @returns an outcome for each archive, a failed one for each file that is missing, and two for all of them together: as
 *   they lie there, and with what they share counted once
 * @throws NO_DIRECTORY, NO_ARCHIVE where there is none
 */
export async function* inventory(options: InventoryOptions): AsyncGenerator<Outcome> {
  const { dir, notify } = options
  await checkDirectory(dir)
  const delivery = createDelivery(options)
  const names = await listArchives(dir)
  const missing = await findMissingOf({ names: [], dir }, delivery)
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
    const found = await lookAtFile(path).catch(warn)
    if (!found) continue
    await delivery.listedSum(path).catch(warn)
    const record = await delivery.readRecord(path).catch(warn)
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
