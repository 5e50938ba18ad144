// Compares an archive that was read with the engine's image. Equal content is the strongest
// result. An engine of another version writes the same image into a different tar; then the
// digests of config and layers decide.
import type { ReadArchive } from '../../archive/reader.ts'
import { ToolError } from '../../core/errors.ts'
import type { ArchiveMetadata } from '../../delivery/metadata.ts'
import type { SourceDigest } from './source-image.ts'

/**
 * @param engine - the engine's image, or undefined if it is not compared
 * @returns a sentence that says what the archive was checked against
 * @throws MISMATCH if the engine has another image
 */
export function compareImages(
  read: ReadArchive,
  engine: SourceDigest | undefined,
  metadata: ArchiveMetadata | undefined,
): string[] {
  if (!engine) return metadata ? ['checked against its metadata'] : [nothingToCompare(read)]
  if (hasSameContent(read, engine)) return ['checked against the engine']
  const [got, want] = [configDigests(read), configDigests(engine)]
  if (got !== want) {
    throw new ToolError('MISMATCH', `verify: config digest: got ${got}, the engine has ${want}`, {
      hint: 'the engine has another image of that name: --against record verifies the archive alone',
    })
  }
  const layers = read.images.reduce((sum, image) => sum + image.layers.length, 0)
  return [`the engine lays it out differently: config digest and ${layers} layers are the same`]
}

/** @returns whether both tars have the same content */
export function hasSameContent(read: Pick<ReadArchive, 'tar'>, engine: SourceDigest): boolean {
  const { membersSha256, replacedSha256, contentMd5 } = engine.tar
  if ([membersSha256, replacedSha256].includes(read.tar.membersSha256)) return true
  return contentMd5 !== undefined && contentMd5 === read.tar.contentMd5
}

/** @returns whether both tars hold the same images, by their configs */
export function hasSameImages(read: Images, engine: Images): boolean {
  return configDigests(read) === configDigests(engine)
}

/**
 * @returns the content md5 of the engine's tar. If the content is the same, it is the md5 of
 *   the archive, and was not computed again.
 */
export function engineMd5(read: ReadArchive, engine: SourceDigest): string | undefined {
  return hasSameContent(read, engine) ? read.tar.contentMd5 : engine.tar.contentMd5
}

type Images = Pick<ReadArchive, 'images'>

function configDigests({ images }: Images): string {
  return images.map(({ config }) => config.digest).join()
}

function nothingToCompare({ images }: ReadArchive): string {
  if (images.length === 0)
    return 'not a saved image: only the check sums of the compression were checked'
  const why = images.length > 1 ? 'it holds several images' : 'no image to compare it with'
  return `${why}: only its own digests of config and layers were checked`
}
