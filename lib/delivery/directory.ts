// A delivery that a run works in: opened once, with what lies there and its SHA256SUMS
// in memory. What is written there goes through commit.ts, which tells both.
import { stat } from 'node:fs/promises'

import { ToolError, ignoreNotFound } from '../core/errors.ts'
import { Catalog } from './catalog.ts'
import { createSumsFile, type SumsFile } from './sums-file.ts'

/** A directory that a run writes to, or would write to. */
export class Directory extends Catalog {
  readonly sums: SumsFile

  /** @param dir - as for {@link Catalog} */
  constructor(dir: string) {
    super(dir)
    this.sums = createSumsFile(dir)
  }

  override renew(): void {
    super.renew()
    this.sums.renew()
  }
}

/** @throws NO_DIRECTORY where there is none */
export async function checkDirectory(dir: string): Promise<void> {
  await identify(dir)
}

/**
 * @param own - the directory that this run writes to
 * @returns catalogs of the directories, in their order; of one that is the run's own,
 *   by whatever path, that one, which knows what the run writes
 * @throws NO_DIRECTORY
 */
export async function openCatalogs(dirs: readonly string[], own: Catalog): Promise<Catalog[]> {
  const known = new Map([[await identify(own.dir), own]])
  const catalogs: Catalog[] = []
  for (const dir of dirs) {
    const id = await identify(dir)
    const catalog = known.get(id) ?? new Catalog(dir)
    known.set(id, catalog)
    catalogs.push(catalog)
  }
  return catalogs
}

async function identify(dir: string): Promise<string> {
  const found = await stat(dir, { bigint: true }).catch(ignoreNotFound)
  if (found?.isDirectory()) return `${found.dev}:${found.ino}`
  throw new ToolError('NO_DIRECTORY', `directory not found: "${dir}"`, {
    hint: 'check its name, mount the disk, or make it with mkdir',
  })
}
