// A delivery that a run works in: its catalog and its SHA256SUMS, both in memory. Changes go
// through commit.ts, which updates both.
import { stat } from 'node:fs/promises'

import { ToolError, ignoreNotFound } from '../core/errors.ts'
import { Catalog } from './catalog.ts'
import { createSumsFile, type SumsFile } from './sums-file.ts'

/** A directory that a run writes to, or would write to. */
export class Directory extends Catalog {
  readonly sums: SumsFile

  /** @param dir - a directory; nothing in it is read yet */
  constructor(dir: string) {
    super(dir)
    this.sums = createSumsFile(dir)
  }

  override renew(): void {
    super.renew()
    this.sums.renew()
  }
}

/** @throws NO_DIRECTORY if the path is not a directory */
export async function checkDirectory(dir: string): Promise<void> {
  await identify(dir)
}

/**
 * @param dirs - directories, by path
 * @param own - the catalog of the directory that this run writes to
 * @returns the catalogs of the directories, in their order. If a path leads to the run's own
 *   directory, its catalog is `own`, which knows what this run writes.
 * @throws NO_DIRECTORY if a path is not a directory
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
