// SHA256SUMS is the manifest of the delivery: what it lists and is not there
// was lost on the way, or removed by somebody; so was the archive of metadata
// that lies there alone.
import { readdir, stat } from 'node:fs/promises'

import { isArchiveName, isRecordName, recordedName } from './archive-name.ts'
import { readSums } from './carry-directory.ts'
import { listFiles } from './checksum-file.ts'
import { ToolError, isSystemError, nothing } from './errors.ts'
import type { Outcome, VerbContext } from './outcome.ts'

/** A file of the delivery that is not there, or metadata that is there alone. */
export interface MissingFile {
  readonly name: string
  /** File name of the archive that it is, or belongs to; else its own name. */
  readonly archive: string
  readonly error: ToolError
}

/**
 * @returns what a delivery lacks: the files in the order of SHA256SUMS, then the
 *   metadata without archives that it does not list
 */
export async function findMissing(dir: string): Promise<MissingFile[]> {
  // macOS puts a file `._NAME` beside each on some disks; nobody misses one.
  const lost = (await findLost(dir)).filter((name) => !/(?:^|\/)\._[^/]*$/.test(name))
  const names = await readdir(dir)
  const archives = new Set([...names, ...lost])
  const alone = names
    .filter((name) => isRecordName(name) && !name.startsWith('.'))
    .filter((name) => !archives.has(recordedName(name)))
  return [...lost.map(lostFile), ...alone.toSorted().map(loneMetadata)]
}

/**
 * @param reported - file names of the archives that a run has told of already
 * @returns a failed outcome for each file that is missing
 */
export function* missingOutcomes(
  missing: readonly MissingFile[],
  reported: ReadonlySet<string>,
  { notify }: Pick<VerbContext, 'notify'>,
): Generator<Outcome> {
  for (const { name, archive, error } of missing) {
    if (reported.has(archive)) continue
    notify({ type: 'step', text: `Checking ${name}...` })
    yield { image: name, archive, result: 'failed', elapsedMs: 0, notes: [], error }
  }
}

/** @returns the names in SHA256SUMS whose files are not there; what lies outside the directory does not count. */
export async function findLost(dir: string): Promise<string[]> {
  const lost: string[] = []
  for (const { name, bytes } of listFiles(await readSums(dir))) {
    if (/^\/|(?:^|\/)\.\.(?:\/|$)|\0/.test(name)) continue
    if (!(await isThere(Buffer.concat([Buffer.from(`${dir}/`), bytes])))) lost.push(name)
  }
  return lost
}

// A name in SHA256SUMS may be of no encoding that is known here.
async function isThere(path: Buffer): Promise<boolean> {
  const found = await stat(path).catch((error: unknown) => {
    if (isSystemError(error) && error.code === 'ENAMETOOLONG') return undefined
    return nothing(error)
  })
  return found !== undefined
}

function lostFile(name: string): MissingFile {
  const isRecord = isRecordName(name)
  const isOurs = isRecord || isArchiveName(name)
  const again = 'copy it again from where it was made'
  const error = new ToolError(
    isRecord ? 'NO_RECORD' : 'NO_ARCHIVE',
    `check "${name}": it is not there, though SHA256SUMS lists it`,
    {
      hint: isOurs
        ? `${again}; what is not wanted any more, take out with --forget when saving`
        : `${again}, or take its line out of SHA256SUMS`,
    },
  )
  return { name, archive: isRecord ? recordedName(name) : name, error }
}

function loneMetadata(name: string): MissingFile {
  const archive = recordedName(name)
  const error = new ToolError('NO_ARCHIVE', `check "${name}": its archive is not there`, {
    hint: `copy "${archive}" again from where it was made, or remove the metadata as well`,
  })
  return { name, archive, error }
}
