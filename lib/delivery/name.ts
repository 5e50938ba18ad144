// The names of what lies in a delivery, as the original scripts chose
// them: `/` → `_` and `:` → `-`.
import { CODECS, ENDINGS, type Codec } from '../codec/formats.ts'
import { ToolError } from '../core/errors.ts'
import { taggedName, type ImageReference } from '../image/reference.ts'

const RECORD_ENDING = '.json'

/** The name of the checksum file of a delivery. */
export const SUMS_NAME = 'SHA256SUMS'

/** The name of the list: read where no image is named, and put into the delivery. */
export const LIST_NAME = 'images_list.txt'

/** @returns the archive's file name, for instance `nvcr.io_nvidia_pytorch-24.05-py3.tar.xz`. */
export function archiveName(reference: ImageReference, codec: Codec): string {
  return stem(reference) + ENDINGS[codec]
}

/** @returns the file names that an archive of an image can have. */
export function archiveNames(reference: ImageReference): string[] {
  return CODECS.map((codec) => archiveName(reference, codec))
}

function stem(reference: ImageReference): string {
  return reference.text.replaceAll('/', '_').replaceAll(':', '-')
}

/** @returns the file name (or path) of the metadata of an archive. */
export function metadataName(archive: string): string {
  return archive + RECORD_ENDING
}

/** @returns the archive whose metadata has that file name or path. */
export function describedArchive(metadata: string): string {
  return metadata.slice(0, -RECORD_ENDING.length)
}

/** @returns whether a file name or path is that of metadata. */
export function isMetadataName(name: string): boolean {
  return name.endsWith(RECORD_ENDING) && isArchiveName(describedArchive(name))
}

/** @returns the file name (or path) of the increment in place of an archive. */
export function incrementName(archive: string): string {
  return archive.replace(ENDING, '.increment$&')
}

/** @returns the names of the increments, in any format, that would take the place of an archive. */
export function incrementNames(archive: string): string[] {
  const bare = archive.replace(ENDING, '')
  return CODECS.map((codec) => incrementName(bare + ENDINGS[codec]))
}

/** @returns whether a file name or path is that of an increment. */
export function isIncrementName(name: string): boolean {
  return /\.increment\.tar\.(?:xz|zst)$/.test(name)
}

/** @returns whether a file name or path is that of an archive. */
export function isArchiveName(name: string): boolean {
  return ENDING.test(name) && name.replace(ENDING, '') !== ''
}

const ENDING = /\.tar\.(?:xz|zst)$/

/**
 * Two references can lead to one name (`a/b:1` and `a_b:1`): the second would
 * overwrite the first.
 *
 * @throws NAME_CLASH naming both
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
 * Two references can lead to one tag (`a:1` and `a:1@sha256:…`), which an engine
 * has for one image at a time: what one is saved by is moved for the other.
 *
 * @throws NAME_CLASH naming both
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
