// The engine's side of a verification: the very image that an archive was made
// of, where the engine has it, and a fresh save of it.
import { basename } from 'node:path'

import { ToolError } from '../../core/errors.ts'
import type { ArchiveMetadata, SavedImage } from '../../delivery/metadata.ts'
import { archiveNames } from '../../delivery/name.ts'
import { inspectImage, type Engine } from '../../engine/engine.ts'
import type { EngineImage } from '../../engine/inspect.ts'
import { listTags } from '../../engine/lists.ts'
import { findExisting, type ReadImages } from '../../engine/match.ts'
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
import { TarDigester, type TarDigest } from '../../tar/digest.ts'
import type { TarMember } from '../../tar/parser.ts'
import type { Treatment } from '../../tar/transform.ts'
import type { Target } from '../targets.ts'

/** An engine's image to check against. */
export interface EngineTar {
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
 * @returns the image that the archive should hold, or undefined if the
 *   engine does not have it
 * @throws MISMATCH naming both digests where its name means another image now
 */
export async function findEngineImage(
  engine: Engine,
  target: Target,
  metadata: ArchiveMetadata | undefined,
  readArchived: ReadImages,
): Promise<EngineTar | undefined> {
  // An engine's image is one, and would be another than several.
  if (metadata && metadata.images.length > 1) return undefined
  const saved = metadata?.images[0]
  const reference =
    target.reference ?? (metadata ? savedReference(saved) : await guessReference(engine, target))
  const name = reference && (taggedName(reference) ?? pullName(reference))
  const image = name === undefined ? undefined : await inspectImage(engine, name, saved?.platform)
  if (name !== undefined && image) {
    if (saved && !engine.store.mayBeSame(image, saved)) throw mismatchError(name, image, saved)
    return { name, image }
  }
  const untagged = saved && (await findExisting(engine, saved, readArchived))
  return untagged && { name: untagged.id, image: untagged }
}

/** How an engine's image is digested. */
export interface EngineDigestOptions {
  /** Paths of members whose content does not count. */
  readonly excluded: ReadonlySet<string>
  /** Whether the content md5 is wanted. */
  readonly md5: boolean
  readonly signal: AbortSignal
}

/**
 * @throws what {@link readSaved} and {@link readImages} throw
 */
export async function digestEngineImage(
  engine: Engine,
  engineTar: EngineTar,
  { excluded, md5, signal }: EngineDigestOptions,
): Promise<EngineDigest> {
  const { name, image } = engineTar
  const treat = ({ path }: TarMember): Treatment => (excluded.has(path) ? 'skipped' : 'inline')
  // As save writes it into an archive; others have it as it is.
  const replace = { isWanted: isIndex, change: normalizeIndex }
  const digester = new TarDigester({ normalize: false, md5, treat, replace })
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

function savedReference(saved: SavedImage | undefined): ImageReference | undefined {
  const text = saved?.reference ?? saved?.repoTags[0]
  return text === undefined ? undefined : parseReference(text)
}

// A name of the engine that leads to the archive's file name.
async function guessReference(engine: Engine, target: Target): Promise<ImageReference | undefined> {
  const name = basename(target.archive)
  for (const tag of await listTags(engine)) {
    const reference = readReference(tag)
    // An engine may take names that are none here.
    if (reference instanceof ToolError) continue
    if (archiveNames(reference).includes(name)) return reference
  }
  return undefined
}

function mismatchError(name: string, own: EngineImage, saved: SavedImage): ToolError {
  return new ToolError(
    'MISMATCH',
    `verify "${name}": got ${saved.config.digest} (${saved.platform}) in the archive, the engine has ${own.id} (${own.platform})`,
    { hint: 'the name means another image there: --against record verifies the archive alone' },
  )
}
