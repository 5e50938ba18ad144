// The engine's side of a verification: the very image that an archive was made
// of, where the engine has it, and a fresh save of it.
import { basename } from 'node:path'

import { ToolError } from '../../core/errors.ts'
import type { ArchiveRecord, RecordedImage } from '../../delivery/metadata.ts'
import { archiveNames } from '../../delivery/name.ts'
import { inspectImage, type Engine } from '../../engine/engine.ts'
import type { EngineImage } from '../../engine/inspect.ts'
import { listTags } from '../../engine/lists.ts'
import { findPresent, type ReadImages, mayBeSame } from '../../engine/match.ts'
import { readSaved } from '../../engine/read-image.ts'
import { readImages, type ArchivedImage } from '../../image/docker-archive.ts'
import { isIndex, normalizeIndex } from '../../image/oci-index.ts'
import {
  parseReference,
  pullName,
  readReference,
  taggedName,
  type ImageReference,
} from '../../image/reference.ts'
import { digestTar, type TarDigest } from '../../tar/digest.ts'
import type { TarMember } from '../../tar/parser.ts'
import type { Treatment } from '../../tar/scanner.ts'
import type { Target } from '../targets.ts'

/** An engine's image to check against. */
export interface Original {
  /** The name to save it by. */
  readonly name: string
  readonly image: EngineImage
}

/** The engine's image, saved and digested. */
export interface EngineDigest {
  readonly tar: TarDigest
  readonly images: readonly ArchivedImage[]
}

/**
 * Where an engine's ID is that of a manifest, an image of the same layers is taken
 * for it: the config, which is read with the image, decides.
 *
 * @param readArchived - reads the images of the archive
 * @returns the image that the archive should hold, or undefined where the
 *   engine does not have it
 * @throws MISMATCH naming both digests where its name means another image now
 */
export async function findOriginal(
  engine: Engine,
  target: Target,
  record: ArchiveRecord | undefined,
  readArchived: ReadImages,
): Promise<Original | undefined> {
  // An engine's image is one, and would be another than several.
  if (record && record.images.length > 1) return undefined
  const recorded = record?.images[0]
  const reference =
    target.reference ?? (record ? recordedReference(recorded) : await guess(engine, target))
  const name = reference && (taggedName(reference) ?? pullName(reference))
  const image =
    name === undefined ? undefined : await inspectImage(engine, name, recorded?.platform)
  if (name !== undefined && image) {
    if (recorded && !mayBeSame(engine, image, recorded)) throw another(name, image, recorded)
    return { name, image }
  }
  const untagged = recorded && (await findPresent(engine, recorded, readArchived))
  return untagged && { name: untagged.id, image: untagged }
}

/**
 * @param leftOut - paths of members whose content is not to count
 * @param md5 - whether the content md5 is wanted
 * @throws what {@link readSaved} and {@link readImages} throw
 */
export async function digestEngineImage(
  engine: Engine,
  original: Original,
  leftOut: ReadonlySet<string>,
  md5: boolean,
  signal: AbortSignal,
): Promise<EngineDigest> {
  const { name, image } = original
  const treat = ({ path }: TarMember): Treatment => (leftOut.has(path) ? 'left out' : 'together')
  // As save writes it into an archive; others have it as it is.
  const replace = { isWanted: isIndex, change: normalizeIndex }
  const digester = digestTar({ constant: false, md5, treat, replace })
  const take = (bytes: Buffer): void => void ofEngine(name, () => digester.write(bytes))
  await readSaved(engine, { name, platform: image.platform }, take, signal)
  return ofEngine(name, () => {
    const tar = digester.end()
    return { tar, images: readImages(tar) }
  })
}

// What is wrong with its tar is not to be taken for a fault of the archive.
function ofEngine<T>(name: string, digest: () => T): T {
  try {
    return digest()
  } catch (error) {
    if (!(error instanceof ToolError)) throw error
    const { code, message, hint } = error
    throw new ToolError(code, `save "${name}": ${message}`, { hint, cause: error })
  }
}

function recordedReference(recorded: RecordedImage | undefined): ImageReference | undefined {
  const text = recorded?.reference ?? recorded?.repoTags[0]
  return text === undefined ? undefined : parseReference(text)
}

// A name of the engine that leads to the archive's file name.
async function guess(engine: Engine, target: Target): Promise<ImageReference | undefined> {
  const name = basename(target.archive)
  for (const tag of await listTags(engine)) {
    const reference = readReference(tag)
    // An engine may take names that are none here.
    if (reference instanceof ToolError) continue
    if (archiveNames(reference).includes(name)) return reference
  }
  return undefined
}

function another(name: string, own: EngineImage, recorded: RecordedImage): ToolError {
  return new ToolError(
    'MISMATCH',
    `verify "${name}": got ${recorded.imageId ?? recorded.configDigest} (${recorded.platform}) in the archive, the engine has ${own.id} (${own.platform})`,
    { hint: 'the name means another image there: --against record proves the archive alone' },
  )
}
