// Compares the names of the images in an archive with the requested image.
import { ToolError } from '../core/errors.ts'
import { COPY_OTHER_METADATA } from '../core/hints.ts'
import type { ArchiveMetadata } from '../delivery/metadata.ts'
import {
  familiarName,
  parseReference,
  taggedName,
  type ImageReference,
} from '../image/reference.ts'
import type { Target } from './targets.ts'

/** The images of an archive, from its metadata or its tar. */
type Named = Pick<ArchiveMetadata, 'images'>

/** @throws MISMATCH if the archive does not hold the requested image */
export function checkNamed({ archive, reference }: Target, named: Named): void {
  if (!reference || isNamed(reference, named)) return
  const got = named.images.flatMap(({ reference: saved, repoTags }) => saved ?? repoTags)
  throw new ToolError('MISMATCH', `read "${archive}": got ${got.join()}, want ${reference.text}`, {
    hint: 'it has the archive name of both: name the image that is in it, or the archive itself',
  })
}

/**
 * @returns a note about the names that the images of an archive have besides the requested one;
 *   only the first few are named
 */
export function noteOtherNames({ reference }: Target, { images }: Named): string[] {
  const wanted = reference && taggedName(reference)
  if (wanted === undefined) return []
  const others = images.flatMap(({ repoTags }) => repoTags).filter((tag) => !isNameOf(wanted, tag))
  const some = others.slice(0, MAX_NAMES).join(', ')
  const more = others.length > MAX_NAMES ? ` and ${others.length - MAX_NAMES} more names` : ''
  return others.length > 0 ? [`it is named ${some}${more} as well`] : []
}

const MAX_NAMES = 5

/** @throws MISMATCH if the metadata has a reference whose tag the image does not have */
export function checkReference(archive: string, { images }: Named): void {
  for (const { reference: text, repoTags } of images) {
    const wanted = text === undefined ? undefined : taggedName(parseReference(text))
    if (wanted === undefined || repoTags.some((tag) => isNameOf(wanted, tag))) continue
    const got = repoTags.length > 0 ? repoTags.join() : 'no tag'
    throw new ToolError(
      'MISMATCH',
      `check the metadata of "${archive}": got ${got}, want ${text}`,
      {
        hint: COPY_OTHER_METADATA,
      },
    )
  }
}

// podman completes a short name with the registry in its settings, so a short name fits any
// registry.
function isNameOf(wanted: string, tag: string): boolean {
  const [own, other] = [familiarName(wanted), familiarName(tag)]
  if (own === other) return true
  const isShort = !/^[^/]*[.:][^/]*\//.test(own)
  return isShort && other.replace(/^[^/]*[.:][^/]*\/(?:library\/)?/, '') === own
}

// An archive made by compress_tars has no reference in its metadata, and its images may have no
// tag: then any name fits.
function isNamed(reference: ImageReference, { images }: Named): boolean {
  const [image] = images
  if (image?.reference !== undefined) return image.reference === reference.text
  const tags = images.flatMap(({ repoTags }) => repoTags)
  const wanted = taggedName(reference)
  return tags.length === 0 || wanted === undefined || tags.some((tag) => isNameOf(wanted, tag))
}
