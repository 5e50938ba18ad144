// Names the files in a delivery. The original scripts chose these names: `/` becomes `_`, and
// `:` becomes `-`.
import { CODECS, ENDINGS, type Codec } from '../codec/formats.ts'
import { ToolError } from '../core/errors.ts'
import { taggedName, type ImageReference } from '../image/reference.ts'

const METADATA_ENDING = '.json'

/** The name of the checksum file of a delivery. */
export const SUMS_NAME = 'SHA256SUMS'

/**
 * The name of the list. A run reads it if no image is given, and a save puts it into the
 * delivery.
 */
export const LIST_NAME = 'images_list.txt'

/**
 * @returns the file name of the archive of an image, for example
 *   `nvcr.io_nvidia_pytorch-24.05-py3.tar.xz`
 */
export function archiveName(reference: ImageReference, codec: Codec): string {
  return stem(reference) + ENDINGS[codec]
}

/** @returns the file names that an archive of an image can have, one for each format */
export function archiveNames(reference: ImageReference): string[] {
  return CODECS.map((codec) => archiveName(reference, codec))
}

function stem(reference: ImageReference): string {
  return reference.text.replaceAll('/', '_').replaceAll(':', '-')
}

/** @returns the file name (or path) of the metadata of an archive */
export function metadataName(archive: string): string {
  return archive + METADATA_ENDING
}

/** @returns the file name (or path) of the archive that a metadata file describes */
export function describedArchive(metadata: string): string {
  return metadata.slice(0, -METADATA_ENDING.length)
}

/** @returns whether a file name or path is that of metadata */
export function isMetadataName(name: string): boolean {
  return name.endsWith(METADATA_ENDING) && isArchiveName(describedArchive(name))
}

/** @returns the file name (or path) of the increment that replaces an archive */
export function incrementName(archive: string): string {
  return archive.replace(ENDING, '.increment$&')
}

/**
 * @returns the file names (or paths) of the increments that replace an archive, one for each
 *   format
 */
export function incrementNames(archive: string): string[] {
  const bare = archive.replace(ENDING, '')
  return CODECS.map((codec) => incrementName(bare + ENDINGS[codec]))
}

/** @returns whether a file name or path is that of an increment */
export function isIncrementName(name: string): boolean {
  return ENDING.test(name) && name.replace(ENDING, '').endsWith('.increment')
}

/** @returns whether a file name or path is that of an archive */
export function isArchiveName(name: string): boolean {
  return ENDING.test(name) && name.replace(ENDING, '') !== ''
}

const ENDING = new RegExp(`(?:${Object.values(ENDINGS).join('|').replaceAll('.', '\\.')})$`)

/**
 * Checks that no two references have the same archive name, as `a/b:1` and `a_b:1` do: the
 * second archive would overwrite the first.
 *
 * @throws NAME_CLASH if two do; the message names both
 */
export function checkNameClashes(references: readonly ImageReference[]): void {
  const seen = new Map<string, ImageReference>()
  for (const reference of references) {
    const name = stem(reference)
    const other = seen.get(name)
    if (other) throw clash(other, reference, `have the same archive name "${name}"`)
    seen.set(name, reference)
  }
}

/**
 * Checks that no two references have the same tag and different digests, as `a:1` and
 * `a:1@sha256:…` do. In an engine a tag names one image at a time, so the second pull would
 * move the tag away from the first image.
 *
 * @throws NAME_CLASH if two do; the message names both
 */
export function checkTagClashes(references: readonly ImageReference[]): void {
  const seen = new Map<string, ImageReference>()
  for (const reference of references) {
    const tag = taggedName(reference)
    if (tag === undefined) continue
    const other = seen.get(tag)
    if (other && other.digest !== reference.digest) {
      throw clash(other, reference, `have one tag, "${tag}", for two digests`)
    }
    seen.set(tag, reference)
  }
}

function clash(one: ImageReference, other: ImageReference, why: string): ToolError {
  return new ToolError('NAME_CLASH', `"${one.text}" and "${other.text}" ${why}`, {
    hint: 'save them in two runs, to different directories with --dir',
  })
}
