// The engine's side of a verification: finds the image that an archive was made from, saves it
// again, and digests the tar.
import { basename } from 'node:path'

import { ToolError } from '../../core/errors.ts'
import type { ArchiveMetadata, SavedImage } from '../../delivery/metadata.ts'
import { archiveNames } from '../../delivery/name.ts'
import { readImages, type ArchivedImage } from '../../image/docker-archive.ts'
import { isIndex, normalizeIndex } from '../../image/oci-index.ts'
import {
  parseReference,
  pullName,
  readReference,
  taggedName,
  type ImageReference,
} from '../../image/reference.ts'
import type { ImageSource, ReadImages, StoredImage } from '../../image/source.ts'
import { TarDigester, type TarDigest } from '../../tar/digest.ts'
import type { TarMember } from '../../tar/parser.ts'
import type { Treatment } from '../../tar/transform.ts'
import type { Target } from '../targets.ts'

/** An image of the engine to compare with. */
export interface SourceTar {
  /** The name to save it by. */
  readonly name: string
  readonly image: StoredImage
}

/** The engine's image, saved and digested. */
export interface SourceDigest {
  readonly tar: TarDigest
  readonly images: readonly ArchivedImage[]
}

/**
 * Finds the engine's image for an archive. In a containerd store, an image with the same layers
 * is accepted here; its config is compared after it is read.
 *
 * @param readArchived - reads the images of the archive
 * @returns the image that the archive should hold, or undefined if the engine does not have it
 * @throws MISMATCH if its name now means another image; the message has both digests
 */
export async function findSourceImage(
  source: ImageSource,
  target: Target,
  metadata: ArchiveMetadata | undefined,
  readArchived: ReadImages,
): Promise<SourceTar | undefined> {
  // The engine's image is a single one, and cannot equal several.
  if (metadata && metadata.images.length > 1) return undefined
  const saved = metadata?.images[0]
  const reference =
    target.reference ?? (metadata ? savedReference(saved) : await guessReference(source, target))
  const name = reference && (taggedName(reference) ?? pullName(reference))
  const image =
    name === undefined ? undefined : (await source.resolve([name], saved?.platform)).get(name)
  if (name !== undefined && image) {
    if (saved && !source.mayBeSame(image, saved)) throw mismatchError(name, image, saved)
    return { name, image }
  }
  const untagged = saved && (await source.findSame(saved, readArchived))
  return untagged && { name: untagged.id, image: untagged }
}

/** How to digest the engine's image. */
export interface SourceDigestOptions {
  /** Paths of members whose content is ignored. */
  readonly excluded: ReadonlySet<string>
  /** Whether to compute the content md5. */
  readonly md5: boolean
  readonly signal: AbortSignal
}

/** @throws the errors of the source and {@link readImages} */
export async function digestSourceImage(
  source: ImageSource,
  sourceTar: SourceTar,
  { excluded, md5, signal }: SourceDigestOptions,
): Promise<SourceDigest> {
  const { name, image } = sourceTar
  const treat = ({ path }: TarMember): Treatment => (excluded.has(path) ? 'skipped' : 'inline')
  // A save normalizes `index.json` for the archive; an archive from another program has it
  // unchanged. Both forms are digested.
  const replace = { isWanted: isIndex, change: normalizeIndex }
  const digester = new TarDigester({ normalize: false, md5, treat, replace })
  const take = (bytes: Buffer): void => void ofEngine(name, () => digester.write(bytes))
  await source.read({ name, platform: image.platform, signal }, take)
  return ofEngine(name, () => {
    const tar = digester.end()
    return { tar, images: readImages(tar) }
  })
}

// The message says that the error is in the engine's tar, not in the archive.
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

// @returns a name in the engine whose archive name is that of the target
async function guessReference(
  source: ImageSource,
  target: Target,
): Promise<ImageReference | undefined> {
  const name = basename(target.archive)
  for (const tag of await source.names()) {
    const reference = readReference(tag)
    // The engine may have names that are not valid here.
    if (reference instanceof ToolError) continue
    if (archiveNames(reference).includes(name)) return reference
  }
  return undefined
}

// The source may call its own by its manifest, an index over several, or its config.
function idOf(saved: SavedImage, own: StoredImage): string {
  const called = own.id === own.manifestDigest ? saved.manifests[0] : saved.index
  const like = own.manifestDigest === undefined ? undefined : called
  return saved.imageId ?? like?.digest ?? saved.config.digest
}

function mismatchError(name: string, own: StoredImage, saved: SavedImage): ToolError {
  return new ToolError(
    'MISMATCH',
    `verify "${name}": got ${idOf(saved, own)} (${saved.platform}) in the archive, the engine has ${own.id} (${own.platform})`,
    { hint: 'the name means another image there: --against record verifies the archive alone' },
  )
}
